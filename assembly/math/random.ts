// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): a keyed
// mixing of a 128-bit counter into four random words. There is no state to advance, so element i of a stream is
// the same in any order and on any thread.
//
//   key      (seedLo, seedHi)
//   counter  (block, step, stream, use)   block = i / 4, element i takes word i mod 4; step 0 in fills;
//                                         use: 0 fills, 1 dropout, 2 the generator of src/core/random.ts
//
// A round multiplies words 0 and 2 by constants; the state is kept as lanes (c0, c2, c1, c3), so that one
// i64x2.extmul does both products. Fills use no fused operation: both builds give the same bits.

import { MINUS_TWO, PHILOX_MULTIPLIER, PHILOX_WEYL, TWO_PI, TWO_TO_MINUS_24 } from "./constants";
import { Vec } from "./functions";

export class Philox {
  /** (c0, c2, c1, c3) → (hi(M1·c2) ^ c1 ^ k0, hi(M0·c0) ^ c3 ^ k1, lo(M1·c2), lo(M0·c0)); key [·, ·, k0, k1]. */
  // @ts-expect-error: decorator
  @inline
  static round(state: v128, key: v128): v128 {
    const products = i64x2.extmul_low_i32x4_u(state, v128.load(PHILOX_MULTIPLIER));
    const odd = v128.shuffle<i32>(v128.xor(state, key), i32x4.splat(0), 2, 3, 4, 5);
    return v128.xor(v128.shuffle<i32>(products, products, 3, 1, 2, 0), odd);
  }

  /** The four words of a counter, in order. */
  // @ts-expect-error: decorator
  @inline
  static words(seedLo: u32, seedHi: u32, c0: u32, c1: u32, c2: u32, c3: u32): v128 {
    const weyl = v128.load(PHILOX_WEYL);
    let k = i64x2.splat(((<u64>seedHi) << 32) | seedLo);
    let s = i64x2.splat(((<u64>c2) << 32) | c0);
    s = i64x2.replace_lane(s, 1, ((<u64>c3) << 32) | c1);
    s = Philox.round(s, k);
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, (k = i32x4.add(k, weyl)));
    s = Philox.round(s, i32x4.add(k, weyl));
    return v128.shuffle<i32>(s, s, 0, 2, 1, 3);
  }

  /** Words to f32 in [0, 1): their upper 24 bits. */
  // @ts-expect-error: decorator
  @inline
  static unit(words: v128): v128 {
    return f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(words, 8)), v128.load(TWO_TO_MINUS_24));
  }

  /**
   * Four independent standard normal values from four words (Box and Muller 1958): words 0 and 2 give radii, 1
   * and 3 angles. The radius takes 1 − u in (0, 1], so the largest magnitude is sqrt(2·24·ln 2) = 5.77.
   */
  // @ts-expect-error: decorator
  @inline
  static normal(words: v128): v128 {
    const u = Philox.unit(words);
    const angle = f32x4.mul(v128.shuffle<i32>(u, u, 1, 1, 3, 3), v128.load(TWO_PI));
    const even = v128.shuffle<i32>(u, u, 0, 0, 2, 2);
    const logarithm = Vec.log(f32x4.sub(f32x4.splat(1), even));
    const radius = f32x4.sqrt(f32x4.mul(logarithm, v128.load(MINUS_TWO)));
    const wave = v128.shuffle<i32>(Vec.cos(angle), Vec.sin(angle), 0, 5, 2, 7);
    return f32x4.mul(radius, wave);
  }

  /** Lane l is all ones where element 4·block + l is kept, 0 where it is dropped; threshold: dropoutThreshold. */
  // @ts-expect-error: decorator
  @inline
  static kept(seedLo: u32, seedHi: u32, stream: u32, step: u32, block: u32, threshold: i32): v128 {
    const words = Philox.words(seedLo, seedHi, block, step, stream, 1);
    return i32x4.gt_s(i32x4.shr_u(words, 1), i32x4.splat(threshold));
  }
}

/**
 * What Philox.kept compares with: an element is dropped when its upper 31 bits are at most this, so with
 * probability p to within 2^−31; p = 0 gives −1 (drops nothing), p = 1 drops everything.
 */
export function dropoutThreshold(p: f32): i32 {
  return <i32>(nearest<f64>(<f64>p * 2147483648.0) - 1.0);
}

/** Philox.kept as a call: the mask of elements 4·block … 4·block + 3. */
export function dropoutMask4(
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  step: u32,
  block: u32,
  threshold: i32,
): v128 {
  return Philox.kept(seedLo, seedHi, stream, step, block, threshold);
}

/**
 * The masks of blocks block … block + 3 as 16 bytes, each all ones or 0; i16x8.extend_*_i8x16_s and
 * i32x4.extend_*_i16x8_s widen them. The same bits as Philox.kept, 1.6 times as fast: two counters share a
 * vector as lanes (c0, c2, c0', c2') and (c1, c3, c1', c3'), and two such pairs markUnreachable each other's latency.
 */
export function dropoutMask16(
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  step: u32,
  block: u32,
  threshold: i32,
): v128 {
  const multiplier = v128.load(PHILOX_MULTIPLIER);
  const weyl = v128.load(PHILOX_WEYL);
  const c02 = (<u64>stream) << 32;
  let key = i64x2.splat(((<u64>seedHi) << 32) | seedLo);
  let x0 = i64x2.replace_lane(i64x2.splat(c02 | block), 1, c02 | (block + 1));
  let x1 = i64x2.replace_lane(i64x2.splat(c02 | (block + 2)), 1, c02 | (block + 3));
  let y0 = i64x2.splat(((<u64>1) << 32) | step);
  let y1 = y0;
  for (let round = 0; round < 10; round++) {
    const a = i64x2.extmul_low_i32x4_u(x0, multiplier);
    const b = i64x2.extmul_high_i32x4_u(x0, multiplier);
    const c = i64x2.extmul_low_i32x4_u(x1, multiplier);
    const d = i64x2.extmul_high_i32x4_u(x1, multiplier);
    x0 = v128.xor(v128.shuffle<i32>(a, b, 3, 1, 7, 5), v128.xor(y0, key));
    x1 = v128.xor(v128.shuffle<i32>(c, d, 3, 1, 7, 5), v128.xor(y1, key));
    y0 = v128.shuffle<i32>(a, b, 2, 0, 6, 4);
    y1 = v128.shuffle<i32>(c, d, 2, 0, 6, 4);
    key = i32x4.add(key, weyl);
  }
  const limit = i32x4.splat(threshold);
  const u0 = i32x4.gt_s(i32x4.shr_u(x0, 1), limit);
  const v0 = i32x4.gt_s(i32x4.shr_u(y0, 1), limit);
  const u1 = i32x4.gt_s(i32x4.shr_u(x1, 1), limit);
  const v1 = i32x4.gt_s(i32x4.shr_u(y1, 1), limit);
  const first = v128.shuffle<i32>(u0, v0, 0, 4, 1, 5);
  const second = v128.shuffle<i32>(u0, v0, 2, 6, 3, 7);
  const third = v128.shuffle<i32>(u1, v1, 0, 4, 1, 5);
  const fourth = v128.shuffle<i32>(u1, v1, 2, 6, 3, 7);
  return i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(first, second),
    i16x8.narrow_i32x4_s(third, fourth),
  );
}

/** Writes the lanes of dropoutMask4 to dst [4]. */
export function storeDropoutMask4(
  dst: usize,
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  step: u32,
  block: u32,
  threshold: i32,
): void {
  v128.store(dst, dropoutMask4(seedLo, seedHi, stream, step, block, threshold));
}

/** Writes the bytes of dropoutMask16 to dst [16]. */
export function storeDropoutMask16(
  dst: usize,
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  step: u32,
  block: u32,
  threshold: i32,
): void {
  v128.store(dst, dropoutMask16(seedLo, seedHi, stream, step, block, threshold));
}

/** Writes the four words of a counter to dst [4]. */
export function philox(
  dst: usize,
  seedLo: u32,
  seedHi: u32,
  c0: u32,
  c1: u32,
  c2: u32,
  c3: u32,
): void {
  v128.store(dst, Philox.words(seedLo, seedHi, c0, c1, c2, c3));
}

// Stores the lanes l of a block with 0 ≤ at + l < count, dst being the address of element 0.
function storeBlock(dst: usize, at: i32, count: i32, values: v128): void {
  const address = dst + ((<isize>at) << 2);
  if (at >= 0 && at + 4 <= count) {
    v128.store(address, values);
    return;
  }
  if (at >= 0 && at < count) v128.store_lane<f32>(address, values, 0);
  if (at + 1 >= 0 && at + 1 < count) v128.store_lane<f32>(address, values, 1, 4);
  if (at + 2 >= 0 && at + 2 < count) v128.store_lane<f32>(address, values, 2, 8);
  if (at + 3 >= 0 && at + 3 < count) v128.store_lane<f32>(address, values, 3, 12);
}

/**
 * dst [count] = elements offset … offset + count − 1 of the stream, uniform: lo + (hi − lo)·u with u in [0, 1) on
 * a grid of 2^−24. With lo = 0 and hi = 1 exactly u; otherwise the sum may round up to hi.
 */
export function fillUniform(
  dst: usize,
  count: i32,
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  offset: u32,
  lo: f32,
  hi: f32,
): void {
  const low = f32x4.splat(lo);
  const span = f32x4.splat(hi - lo);
  let block = offset >> 2;
  for (let at = -(<i32>(offset & 3)); at < count; at += 4) {
    const u = Philox.unit(Philox.words(seedLo, seedHi, block, 0, stream, 0));
    storeBlock(dst, at, count, f32x4.add(low, f32x4.mul(span, u)));
    block++;
  }
}

/** dst [count] = elements offset … offset + count − 1 of the stream, normal: mean + std·z. */
export function fillNormal(
  dst: usize,
  count: i32,
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  offset: u32,
  mean: f32,
  std: f32,
): void {
  const centre = f32x4.splat(mean);
  const scale = f32x4.splat(std);
  let block = offset >> 2;
  for (let at = -(<i32>(offset & 3)); at < count; at += 4) {
    const z = Philox.normal(Philox.words(seedLo, seedHi, block, 0, stream, 0));
    storeBlock(dst, at, count, f32x4.add(centre, f32x4.mul(scale, z)));
    block++;
  }
}
