// Runs the matrix products of both binaries at the level of pointers: lays operands out in a memory of its own,
// surrounds everything that a kernel may write with guard words, and looks at them afterwards.
// Also the two oracles: the same sums one by one in float32, and plain float64 products with their error bound.
import { readFileSync } from "node:fs";
import v8 from "node:v8";
import { instantiateSync } from "@assemblyscript/loader";
import { fill } from "../support/arbitraries.ts";

v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

export type Kernel = (...args: number[]) => number;
export type Kernels = Record<
  | "gemm"
  | "gemmScratch"
  | "gemmLowRank"
  | "gemmLowRankScratch"
  | "batched"
  | "batchedScratch"
  | "panelFloats"
  | "packWeight"
  | "unpackWeight"
  | "panelRow"
  | "setTileForm",
  Kernel
>;

/** One binary with its memory; `fused` says which arithmetic it does, kc its block of k. */
export interface Build {
  readonly name: string;
  readonly fused: boolean;
  readonly kc: number;
  readonly kernels: Kernels;
  readonly memory: WebAssembly.Memory;
}

function build(name: string, file: string, fused: boolean, kc: number): Build {
  const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536, shared: true });
  const bytes = readFileSync(new URL(`../../${file}`, import.meta.url));
  const { exports } = instantiateSync<Kernels>(bytes, { env: { memory } });
  return { name, fused, kc, kernels: exports, memory };
}

export const baseline: Build = build("baseline", "core.wasm", false, 512);
export const relaxed: Build = build("relaxed", "core.relaxed.wasm", true, 256);
export const builds: readonly Build[] = [baseline, relaxed];

export const Rows = 0;
export const Cols = 1;
export const Panels = 2;
export const PanelsT = 3;

const Guard = -7.25e33;
const GuardFloats = 16;

/** A bump allocator over a build's memory; every block has guard words on both sides. */
export class Room {
  #next = 65536;
  readonly #blocks: { start: number; size: number; gaps: readonly number[] }[] = [];
  readonly #floats: Float32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#floats = new Float32Array(memory.buffer);
  }

  /** Address of `size` floats, all guard words yet; `gaps` are the indices that must stay so. */
  take(size: number, gaps: readonly number[] = []): number {
    const start = this.#next / 4 + GuardFloats;
    this.#floats.fill(Guard, start - GuardFloats, start + size + GuardFloats);
    this.#blocks.push({ start, size, gaps });
    this.#next = (start + Math.ceil(size / 16) * 16 + GuardFloats) * 4;
    return start * 4;
  }

  put(values: ArrayLike<number>): number {
    const address = this.take(values.length);
    this.#floats.set(values, address / 4);
    return address;
  }

  get(address: number, size: number): Float32Array {
    return this.#floats.slice(address / 4, address / 4 + size);
  }

  /** Throws if a guard word has changed. */
  check(): void {
    const guard = Math.fround(Guard);
    const look = (at: number): void => {
      if (this.#floats[at] !== guard) throw new Error(`a kernel wrote to guard word ${at}`);
    };
    for (const { start, size, gaps } of this.#blocks) {
      for (let i = 1; i <= GuardFloats; i++) look(start - i);
      for (let i = 0; i < GuardFloats; i++) look(start + size + i);
      for (const gap of gaps) look(start + gap);
    }
  }
}

/** A matrix as the oracles see it: row-major, without gaps. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export function matrix(rows: number, columns: number, seed: number): Matrix {
  return { rows, columns, data: fill([rows, columns], seed) };
}

/** Lays a matrix (or its transpose) out with `pad` extra elements a row. */
export function lay(
  room: Room,
  x: Matrix,
  transposed: boolean,
  pad: number,
): { address: number; ld: number } {
  const rows = transposed ? x.columns : x.rows;
  const ld = (transposed ? x.rows : x.columns) + pad;
  // The last row has no padding behind it, so that reading past the operand's end meets the guard words.
  const values = new Float64Array(Math.max(0, rows * ld - pad)).fill(Number.NaN);
  for (let i = 0; i < x.rows; i++) {
    for (let j = 0; j < x.columns; j++) {
      values[transposed ? j * ld + i : i * ld + j] = x.data[i * x.columns + j]!;
    }
  }
  return { address: room.put(values), ld };
}

/** Lays B [k, n] out in any of its four layouts. */
export function layB(
  { kernels }: Build,
  room: Room,
  b: Matrix,
  layout: number,
  pad: number,
): { address: number; ld: number } {
  if (layout === Rows || layout === Cols) return lay(room, b, layout === Cols, pad);
  // The weight W is [n, k] for Panels and [k, n] for PanelsT.
  const w = lay(room, b, layout === Panels, 0);
  const [n, k] = layout === Panels ? [b.columns, b.rows] : [b.rows, b.columns];
  const address = room.take(kernels.panelFloats(n, k));
  kernels.packWeight(address, w.address, n, k);
  return { address, ld: 0 };
}

/** The gaps of a C [m, n] whose rows are ldc apart. */
export function gapsOf(m: number, n: number, ldc: number): number[] {
  const gaps: number[] = [];
  for (let i = 0; i + 1 < m; i++) for (let j = n; j < ldc; j++) gaps.push(i * ldc + j);
  return gaps;
}

const { fround } = Math;

/** The oracle of bits: C = start + A·B with float32 sums over k in order, from zero in each block of kc. */
export function sequential(
  a: Matrix,
  b: Matrix,
  start: Float32Array | undefined,
  kc: number,
): Float32Array {
  const c = new Float32Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.columns; j++) {
      let total = start?.[i * b.columns + j];
      for (let k0 = 0; k0 < a.columns; k0 += kc) {
        let sum = 0;
        for (let k = k0; k < Math.min(k0 + kc, a.columns); k++) {
          sum = fround(sum + fround(a.data[i * a.columns + k]! * b.data[k * b.columns + j]!));
        }
        total = total === undefined ? sum : fround(total + sum);
      }
      c[i * b.columns + j] = total ?? 0;
    }
  }
  return c;
}

/** The float64 product, and the product of magnitudes that its rounding error is measured by. */
export function exact(a: Matrix, b: Matrix): { value: Float64Array; magnitude: Float64Array } {
  const value = new Float64Array(a.rows * b.columns);
  const magnitude = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const x = a.data[i * a.columns + k]!;
      for (let j = 0; j < b.columns; j++) {
        const product = x * b.data[k * b.columns + j]!;
        value[i * b.columns + j]! += product;
        magnitude[i * b.columns + j]! += Math.abs(product);
      }
    }
  }
  return { value, magnitude };
}

/** Higham's gamma: the relative error of n float32 roundings in a row, n·u / (1 − n·u) with u = 2^-24. */
export function gamma(n: number): number {
  return (n * 2 ** -24) / (1 - n * 2 ** -24);
}

/** Throws unless every element is the same float32, signs of zeros included (any NaN equals any other). */
export function expectSameBits(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what = "the product",
): void {
  const length = Math.max(actual.length, expected.length);
  for (let i = 0; i < length; i++) {
    if (!Object.is(actual[i], expected[i])) {
      throw new Error(`${what}: element ${i} is ${actual[i]}, expected ${expected[i]}`);
    }
  }
}
