// Merged against unmerged: how far apart they may be, and what merging keeps.
//
// One linear layer, y = x Wᵀ + b + s (x Aᵀ) Bᵀ with x [M, K], W [N, K], A [r, K], B [N, r]; u = 2^-24,
// γ(n) = n u / (1 − n u). How many roundings does each product go through? A sum of n products: n of them (the first
// addition, to zero, is exact; blocks of k add none; with fused multiply-add it is no more).
//                     x W                    s x A B                              b
//   unmerged   K, + b, + branch: K + 2       t: K, s: 1, times B: r, added: 1     + b, + branch: 2
//   merged     W + D: 1, K, + b: K + 2       B A: r, s: 1, W + D: 1, K, + b       + b: 1
// Each differs from the truth by at most these, hence from each other by at most their sum:
//   |y_m − y_u| ≤ γ(2K+4) |x||W|ᵀ + γ(2K+2r+5) s |x||A|ᵀ|B|ᵀ + γ(3) |b|
// The errors of x W and x (W + D) need not cancel, so K counts twice. With K counted once, the bound
// γ(K+2) |x||W|ᵀ + γ(K+2r+5) s |x||A|ᵀ|B|ᵀ holds for sums of like terms, but not for all numbers: the last test here
// has K terms that all round down unmerged and all round up merged. Both are checked: the first for all numbers, the
// second for random ones with K ≥ 8.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora, type LoraLayer } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { Linear, type LinearLike } from "../../src/nn/linear.ts";
import { Module } from "../../src/nn/module.ts";
import { array } from "../../src/reference/array.ts";
import { linear as referenceLinear } from "../../src/reference/linear.ts";
import { type Lora, loraForward } from "../../src/reference/lora.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectClose } from "../support/compare.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const U = 2 ** -24;
const gamma = (n: number): number => (n * U) / (1 - n * U);

interface Layer {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly x: Float64Array;
  readonly W: Float64Array;
  readonly b: Float64Array | null;
  readonly factors: readonly {
    readonly r: number;
    readonly A: Float64Array;
    readonly B: Float64Array;
    readonly alpha: number;
    /** alpha / r */
    readonly s: number;
  }[];
}

/** A model of one linear layer. */
class OneLayer extends Module {
  constructor(layer: Linear) {
    super();
    this.addModule("layer", layer);
  }

  forward(x: Tensor): Tensor {
    return (this.child("layer") as LinearLike).forward(x);
  }
}

/** [unmerged, merged] outputs [M, N]. */
function bothWays({ M, N, K, x, W, b, factors }: Layer): readonly [Float32Array, Float32Array] {
  const base = new Linear(K, N, { bias: b !== null });
  base.weight.set(W);
  if (b !== null) base.bias?.set(b);
  const model = new OneLayer(base);
  const names = factors.map(({ r, A, B, alpha, s }, i) => {
    const options = { r, loraAlpha: alpha, targetModules: ["layer"] };
    const { layers, name } = injectLora(model, options, { adapterName: `adapter${i}` });
    const made = layers.get("layer") as LoraLayer;
    made.a.set(A);
    made.b.set(B);
    assert.is(made.scale, s);
    return name;
  });
  setActiveAdapters(model, names);
  const forward = (): Float32Array =>
    scope(() => {
      const input = tensor(Float32Array.from(x), { shape: [M, K] });
      return model.forward(input).toArray() as Float32Array;
    });
  const unmerged = forward();
  adaptersOf(model).merge(names);
  const merged = forward();
  model.dispose();
  return [unmerged, merged];
}

/** x Wᵀ + b and the branches s x Aᵀ Bᵀ in float64, each [M, N]; of absolute values if asked. */
function parts(layer: Layer, absolute: boolean) {
  const { M, N, K } = layer;
  const taken = (shape: readonly number[], data: Float64Array) =>
    array(shape, absolute ? data.map(Math.abs) : data);
  const x = taken([M, K], layer.x);
  const base = referenceLinear(x, taken([N, K], layer.W)).data;
  const bias = layer.b ?? new Float64Array(N);
  const branches = layer.factors.map(({ r, A, B, s }) => {
    const lora: Lora = {
      W: array([N, K]),
      A: taken([r, K], A),
      B: taken([N, r], B),
      s: absolute ? Math.abs(Math.fround(s)) : Math.fround(s),
    };
    return loraForward(lora, x).data;
  });
  return { base, bias: base.map((_, i) => (absolute ? Math.abs : Number)(bias[i % N]!)), branches };
}

const scale = fc.constantFrom(0.25, 1, 2, 16, -2, 8 / 3, 16 / Math.sqrt(5));
const depth = fc.oneof(
  { weight: 4, arbitrary: size(65) },
  { weight: 1, arbitrary: fc.constantFrom(255, 256, 257, 511, 512, 513, 700) },
);

function layers(count: number, least = 1): fc.Arbitrary<Layer> {
  return fc
    .record({
      M: size(9),
      N: size(40),
      K: depth.map((k) => Math.max(k, least)),
      bias: fc.boolean(),
      ranks: fc.array(size(17), { minLength: count, maxLength: count }),
      scales: fc.array(scale, { minLength: count, maxLength: count }),
      seed,
    })
    .map(({ M, N, K, bias, ranks, scales, seed: start }) => ({
      M,
      N,
      K,
      x: fill([M, K], start, { zeros: 0.05 }),
      W: fill([N, K], start + 1, { zeros: 0.05 }),
      b: bias ? fill([N], start + 2) : null,
      factors: ranks.map((r, i) => ({
        r,
        A: fill([r, K], start + 3 + 2 * i, { zeros: 0.05 }),
        B: fill([N, r], start + 4 + 2 * i, { zeros: 0.05 }),
        alpha: scales[i]! * r,
        s: (scales[i]! * r) / r,
      })),
    }));
}

for (const { name, engine } of all) {
  test(`merged and unmerged outputs of a linear differ by no more than their roundings (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(layers(1), (layer) => {
          const { base, bias, branches } = parts(layer, true);
          const { K, factors } = layer;
          const forBase = gamma(2 * K + 4);
          const forBranch = gamma(2 * K + 2 * factors[0]!.r + 5);
          const bound = base.map(
            (value, i) => forBase * value + forBranch * branches[0]![i]! + gamma(3) * bias[i]!,
          );
          const [unmerged, merged] = bothWays(layer);
          expectClose(merged, unmerged, bound, { shape: [layer.M, layer.N] });
        }),
        { numRuns: 40 },
      );
    });
  });

  test(`for random numbers with K ≥ 8 half of that is enough: K counts once (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(layers(1, 8), (layer) => {
          const plain = { ...layer, b: null };
          const { base, branches } = parts(plain, true);
          const { K, factors } = layer;
          // γ(n) = n u, and K + 2r + 5, as the bound with K once is stated.
          const bound = base.map(
            (value, i) => U * ((K + 2) * value + (K + 2 * factors[0]!.r + 5) * branches[0]![i]!),
          );
          const [unmerged, merged] = bothWays(plain);
          expectClose(merged, unmerged, bound, { shape: [layer.M, layer.N] });
        }),
        { numRuns: 40 },
      );
    });
  });

  test(`several active adapters add up, within the roundings of one branch of all ranks (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(
          fc.integer({ min: 2, max: 3 }).chain((count) => layers(count)),
          (layer) => {
            const { K, factors } = layer;
            const all = factors.reduce((sum, { r }) => sum + r, 0);
            const exact = parts(layer, false);
            const size = parts(layer, true);
            const truth = exact.base.map(
              (value, i) =>
                value +
                exact.bias[i]! +
                exact.branches.reduce((sum, branch) => sum + branch[i]!, 0),
            );
            // Base: K + bias + branch. Branch: s B, then t, then the sum over all ranks, then added. Bias: 2.
            const bound = truth.map(
              (_, i) =>
                gamma(K + 2) * size.base[i]! +
                gamma(K + all + 2) * size.branches.reduce((sum, branch) => sum + branch[i]!, 0) +
                gamma(2) * size.bias[i]!,
            );
            const [unmerged] = bothWays(layer);
            expectClose(unmerged, truth, bound, { shape: [layer.M, layer.N] });
          },
        ),
        { numRuns: 20 },
      );
    });
  });

  test(`merging several adapters adds all of them, from the kept base (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(layers(2), (layer) => {
          const { K, factors } = layer;
          const exact = parts(layer, false);
          const size = parts(layer, true);
          const truth = exact.base.map(
            (value, i) =>
              value + exact.bias[i]! + exact.branches.reduce((sum, branch) => sum + branch[i]!, 0),
          );
          // W: one addition for each adapter. D: r and s, and as many additions.
          const most = Math.max(...factors.map(({ r }) => r));
          const bound = truth.map(
            (_, i) =>
              gamma(K + 3) * size.base[i]! +
              gamma(K + most + 4) * size.branches.reduce((sum, branch) => sum + branch[i]!, 0) +
              gamma(1) * size.bias[i]!,
          );
          const [, merged] = bothWays(layer);
          expectClose(merged, truth, bound, { shape: [layer.M, layer.N] });
        }),
        { numRuns: 15 },
      );
    });
  });
}

test("K counts twice: terms that all round down unmerged and all round up merged", () => {
  // x is all ones, W = 1, then K − 1 times just below u; B A adds just enough to the latter to be above u. Near 1
  // numbers are 2u apart: unmerged every term is lost, merged every term becomes 2u.
  const K = 64;
  const below = U * (1 - 2 ** -12);
  const layer: Layer = {
    M: 1,
    N: 1,
    K,
    x: new Float64Array(K).fill(1),
    W: new Float64Array(K).fill(below, 1).fill(1, 0, 1),
    b: null,
    factors: [
      { r: 1, A: new Float64Array(K).fill(1, 1), B: Float64Array.of(U * 2 ** -11), alpha: 1, s: 1 },
    ],
  };
  const baseline = all[0]!.engine;
  const [unmerged, merged] = baseline.run(() => bothWays(layer));
  const difference = merged[0]! - unmerged[0]!;
  assert.is(unmerged[0], 1);
  assert.is(merged[0], 1 + 2 * U * (K - 1));
  const { base, branches } = parts(layer, true);
  assert.ok(difference > gamma(K + 2) * base[0]! + gamma(K + 7) * branches[0]![0]!);
  assert.ok(difference <= gamma(2 * K + 4) * base[0]! + gamma(2 * K + 7) * branches[0]![0]!);
});

test.run();
