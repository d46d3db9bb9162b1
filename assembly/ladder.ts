// The rungs below the kernels: one product, C [M, N] = A [M, K] · B [K, N], each function with one idea more than the one
// before it. They are for reading and measuring (bench/ladder.ts) and no part of the engine, whose own product
// (gemm/gemm.ts) is the top of the ladder. All sum over k in order, one accumulator an element: the same bits.
//
//   dots    C's elements one by one        columns of B are read with steps of N: a cache line for each float
//   rows    whole rows of C at once        all is read in order, but C is read and written for each k
//   lanes   the same, four columns a step  128-bit SIMD: a quarter of the instructions
//   tiles   4 x 8 elements stay in registers over all of k: C is written once, A and B are read N/8 and M/4 times
//   panels  tiles, with B and A packed into the order in which a tile reads them
//
// All matrices are row-major; M is a multiple of 4 and N of 8.

import { packA, packB } from "./gemm/pack";
import { A_ROWS, B_ROWS } from "./gemm/blocking";
import { tile } from "./gemm/tile";
import { Simd } from "./math/simd";

export function dots(m: i32, n: i32, k: i32, a: usize, b: usize, c: usize): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum: f32 = 0;
      for (let p = 0; p < k; p++) {
        const left = load<f32>(a + ((<usize>(i * k + p)) << 2));
        sum += left * load<f32>(b + ((<usize>(p * n + j)) << 2));
      }
      store<f32>(c + ((<usize>(i * n + j)) << 2), sum);
    }
  }
}

export function rows(m: i32, n: i32, k: i32, a: usize, b: usize, c: usize): void {
  memory.fill(c, 0, (<usize>(m * n)) << 2);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const left = load<f32>(a + ((<usize>(i * k + p)) << 2));
      let from = b + ((<usize>(p * n)) << 2);
      let to = c + ((<usize>(i * n)) << 2);
      const end = to + ((<usize>n) << 2);
      while (to < end) {
        store<f32>(to, load<f32>(to) + left * load<f32>(from));
        from += 4;
        to += 4;
      }
    }
  }
}

export function lanes(m: i32, n: i32, k: i32, a: usize, b: usize, c: usize): void {
  memory.fill(c, 0, (<usize>(m * n)) << 2);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const left = v128.load32_splat(a + ((<usize>(i * k + p)) << 2));
      let from = b + ((<usize>(p * n)) << 2);
      let to = c + ((<usize>(i * n)) << 2);
      const end = to + ((<usize>n) << 2);
      while (to < end) {
        v128.store(to, Simd.madd(left, v128.load(from), v128.load(to)));
        from += 16;
        to += 16;
      }
    }
  }
}

export function tiles(m: i32, n: i32, k: i32, a: usize, b: usize, c: usize): void {
  const row = (<usize>k) << 2;
  const step = (<usize>n) << 2;
  for (let i = 0; i < m; i += 4) {
    for (let j = 0; j < n; j += 8) {
      const at = c + ((<usize>(i * n + j)) << 2);
      unpackedTile(a + <usize>i * row, row, b + ((<usize>j) << 2), step, at);
    }
  }
}

/** C [4, 8] = A · B; rows of A are `row` bytes long, rows of B and C `step`. */
function unpackedTile(a: usize, row: usize, b: usize, step: usize, c: usize): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  let a1 = a + row;
  let a2 = a1 + row;
  let a3 = a2 + row;
  const end = a1;
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load32_splat(a);
    c00 = Simd.madd(x0, b0, c00);
    c01 = Simd.madd(x0, b1, c01);
    const x1 = v128.load32_splat(a1);
    c10 = Simd.madd(x1, b0, c10);
    c11 = Simd.madd(x1, b1, c11);
    const x2 = v128.load32_splat(a2);
    c20 = Simd.madd(x2, b0, c20);
    c21 = Simd.madd(x2, b1, c21);
    const x3 = v128.load32_splat(a3);
    c30 = Simd.madd(x3, b0, c30);
    c31 = Simd.madd(x3, b1, c31);
    a += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    b += step;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c + step, c10);
  v128.store(c + step, c11, 16);
  v128.store(c + 2 * step, c20);
  v128.store(c + 2 * step, c21, 16);
  v128.store(c + 3 * step, c30);
  v128.store(c + 3 * step, c31, 16);
}

/** `scratch` is room for B, four rows of A, and one tile (128 bytes). */
// biome-ignore format: one operand after the other
export function panels(
  m: i32, n: i32, k: i32, a: usize, b: usize, c: usize, scratch: usize,
): void {
  const step = (<usize>n) << 2;
  const panel = (<usize>k) << 5;
  const aPanel = scratch + 128;
  const bPanels = aPanel + ((<usize>k) << 4);
  packB(bPanels, b, B_ROWS, n, k, n);
  for (let i = 0; i < m; i += 4) {
    packA(aPanel, a + ((<usize>(i * k)) << 2), A_ROWS, k, 4, k);
    let bi = bPanels;
    let ci = c + <usize>i * step;
    for (let j = 0; j < n; j += 8) {
      tile(4, 8, k, aPanel, 16, bi, 32, ci, step, false, scratch);
      bi += panel;
      ci += 32;
    }
  }
}
