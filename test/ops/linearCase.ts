// Linear layers for tests: their numbers, the float64 reference of what they compute, how far from it float32 may be,
// and a run in the engine. The dropout mask is drawn here anew, word by word, from Philox' counter.

import type { Engine } from "../../src/core/engine.ts";
import { philox } from "../../src/core/random.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/linear.ts";
import { tensor } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { type Differentiated, differentiate, type Operand } from "../support/differentiate.ts";
import { U } from "./againstReference.ts";

/** A layer of K inputs and N outputs, applied to x [...leading, K]. */
export interface LinearSizes {
  readonly leading: readonly number[];
  readonly n: number;
  readonly k: number;
  /** Rank of the branch; null is no branch. */
  readonly r: number | null;
  readonly bias: boolean;
  readonly scale: number;
  readonly p: number;
  readonly seed: number;
}

/** W gets a gradient, or is frozen in one of three layouts: rows, panels, or panels for both products. */
export type Weight = "trained" | "rows" | "panels" | "both";

export type Part = "x" | "w" | "bias" | "a" | "b";
const PARTS: readonly Part[] = ["x", "w", "bias", "a", "b"];

/** The numbers of a layer; scale and p are float32 numbers, as the engine keeps them. */
export interface Layer {
  readonly parts: Readonly<Partial<Record<Part, Arr>>>;
  readonly dy: Arr;
  readonly scale: number;
  readonly p: number;
  readonly seed: number;
}

/** Numbers for these sizes. */
export function layerOf({ leading, n, k, r, bias, scale, p, seed }: LinearSizes): Layer {
  const random = (i: number, shape: readonly number[]): Arr => array(shape, fill(shape, seed + i));
  return {
    parts: {
      x: random(0, [...leading, k]),
      w: random(1, [n, k]),
      ...(bias ? { bias: random(2, [n]) } : {}),
      ...(r === null ? {} : { a: random(3, [r, k]), b: random(4, [n, r]) }),
    },
    dy: random(5, [...leading, n]),
    scale: Math.fround(scale),
    p: Math.fround(p),
    seed,
  };
}

/**
 * 1 where dropout `ordinal` of the first scope after `manualSeed(seed)` keeps an element. Element i takes word
 * i mod 4 of the counter (i / 4, step, ordinal, 1), the step of the first scope being 1; it is dropped when the word's
 * upper 31 bits are below p·2^31.
 */
export function maskOf(shape: readonly number[], seed: number, ordinal: number, p: number): Arr {
  const mask = array(shape);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32)];
  for (let i = 0; i < mask.data.length; i++) {
    const word = philox([i >>> 2, 1, ordinal, 1], key)[i & 3]!;
    mask.data[i] = word >>> 1 >= Math.round(p * 2 ** 31) ? 1 : 0;
  }
  return mask;
}

/** y and the gradients of all parts. */
type Numbers = { readonly y: Arr } & Readonly<Partial<Record<Part, Arr>>>;

function computed({ parts, dy, scale, p }: Layer, mask: Arr | undefined): Numbers {
  const { x, w, bias, a, b } = parts;
  const lowRank = a && b ? { A: a, B: b, scale, mask, p } : undefined;
  const y = reference.linear(x!, w!, { bias, lowRank });
  const { dx, dW, db, dA, dB } = reference.linearBackward(dy, x!, w!, { bias, lowRank });
  return { y, x: dx, w: dW, ...(db ? { bias: db } : {}), ...(dA && dB ? { a: dA, b: dB } : {}) };
}

function magnitude(x: Arr): Arr {
  return array(x.shape, x.data.map(Math.abs));
}

/** What a layer should compute, and the greatest distance of each number from it. */
export interface Expectation {
  readonly values: Numbers;
  readonly bounds: Numbers;
}

/**
 * The reference of a layer that draws dropout `ordinal`. A sum of n products is off by at most n roundings of the sum
 * of their magnitudes, and a sum whose terms are themselves such sums adds up the lengths. What the layer computes is
 * a tree of such sums, whose magnitudes are what the layer gives for the magnitudes of its inputs; no path through it
 * is longer than all sizes together, except that the mask's factor (rounded), its product, s, bias and the additions of
 * base, branch and older gradients bring a rounding each, and every block of 256 terms one.
 */
export function expectation(layer: Layer, ordinal = 0): Expectation {
  const { parts, p, seed } = layer;
  const x = parts.x!;
  const [n = 0, k = 0] = parts.w!.shape;
  const m = x.data.length / Math.max(k, 1);
  const r = parts.a?.shape[0] ?? 0;
  const mask = p > 0 ? maskOf(x.shape, seed, ordinal, p) : undefined;
  const values = computed(layer, mask);
  const absolute: Partial<Record<Part, Arr>> = {};
  for (const part of PARTS) if (parts[part]) absolute[part] = magnitude(parts[part]);
  const scale = Math.abs(layer.scale);
  const sizes = computed({ ...layer, parts: absolute, dy: magnitude(layer.dy), scale }, mask);
  const length = { y: k + r, x: n + r, w: m, bias: m, a: m + n, b: m + k };
  const bounds: Partial<Record<keyof Numbers, Arr>> = {};
  for (const name of ["y", ...PARTS] as const) {
    const size = sizes[name];
    if (size === undefined) continue;
    const roundings = length[name] * (1 + 2 / 256) + 10;
    bounds[name] = array(
      size.shape,
      size.data.map((value) => roundings * U * value),
    );
  }
  return { values, bounds: bounds as Numbers };
}

/** Throws unless y and every gradient that was computed is within its bound. */
export function expectLayer(
  got: Differentiated<string>,
  { values, bounds }: Expectation,
  what: string,
): void {
  const { shape } = values.y;
  expectClose(got.y, values.y.data, bounds.y.data, { what: `y, ${what}`, shape });
  for (const part of PARTS) {
    const gradient = got.gradients[part];
    const expected = values[part];
    if (!gradient || !expected) continue;
    const options = { what: `gradient of ${part}, ${what}`, shape: expected.shape };
    expectClose(gradient, expected.data, bounds[part]!.data, options);
  }
}

/** Throws unless y and all gradients have the same bits. */
export function expectSameRun(
  got: Differentiated<string>,
  expected: Differentiated<string>,
  what: string,
): void {
  expectSame(got.y, expected.y, { what: `y, ${what}` });
  for (const [part, gradient] of Object.entries(expected.gradients)) {
    if (gradient === null) continue;
    expectSame(got.gradients[part]!, gradient, { what: `gradient of ${part}, ${what}` });
  }
}

/** How a layer is run. */
export interface RunOptions {
  /** Default "trained". */
  readonly weight?: Weight;
  /** Gradient buffers that nothing was added to before; default false. */
  readonly fresh?: boolean;
  /** Parts that get a gradient; default all. */
  readonly needed?: readonly Part[];
  /** Instead of one layer. */
  readonly op?: (layer: (x: Tensor) => Tensor, x: Tensor) => Tensor;
}

/** The layer's y and gradients of Σ dy·y, with dropout from the layer's seed. */
export function runLayer(
  engine: Engine,
  { parts, dy, scale, p, seed }: Layer,
  {
    weight = "trained",
    fresh = false,
    needed = PARTS,
    op = (layer, x) => layer(x),
  }: RunOptions = {},
): Differentiated<string> {
  return engine.run(() => {
    const operands: Record<string, Operand> = {};
    for (const part of PARTS) {
      if (parts[part] && (part !== "w" || weight === "trained")) {
        operands[part] = { ...parts[part], grad: needed.includes(part) };
      }
    }
    const { shape, data } = parts.w!;
    const frozen = weight === "trained" ? null : tensor(Float32Array.from(data), { shape });
    if (weight === "panels") frozen?.pack();
    if (weight === "both") frozen?.pack({ prepack: "both" });
    manualSeed(seed);
    const got = differentiate(
      engine,
      operands,
      ({ x, w, bias, a, b }) => {
        const branch = a && b ? { a, b, scale, dropout: p } : null;
        return op((x) => linear(x, frozen ?? w!, bias ?? null, branch), x!);
      },
      dy.data,
      fresh,
    );
    frozen?.dispose();
    return got;
  });
}
