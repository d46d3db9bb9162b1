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
import { Vec } from "./math";

export class Philox {
  /** (c0, c2, c1, c3) → (hi(M1·c2) ^ c1 ^ k0, hi(M0·c0) ^ c3 ^ k1, lo(M1·c2), lo(M0·c0)). */
  // @ts-expect-error: decorator
  @inline
  static round(state: v128, key: v128): v128 {
    const products = i64x2.extmul_low_i32x4_u(state, v128.load(PHILOX_MULTIPLIER));
    const odd = v128.shuffle<i32>(state, i32x4.splat(0), 2, 3, 4, 5);
    return v128.xor(v128.shuffle<i32>(products, products, 3, 1, 2, 0), v128.xor(odd, key));
  }

  /** The four words of a counter, in order. */
  // @ts-expect-error: decorator
  @inline
  static words(seedLo: u32, seedHi: u32, c0: u32, c1: u32, c2: u32, c3: u32): v128 {
    const weyl = v128.load(PHILOX_WEYL);
    const k0 = i32x4.replace_lane(i64x2.splat(0), 0, seedLo);
    let k = i32x4.replace_lane(k0, 1, seedHi);
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

/** Philox.kept as a call. */
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

/** dst [count] = 1 where element offset + i is kept by Philox.kept, 0 where it is dropped. */
export function fillDropoutMask(
  dst: usize,
  count: i32,
  seedLo: u32,
  seedHi: u32,
  stream: u32,
  step: u32,
  offset: u32,
  threshold: i32,
): void {
  let block = offset >> 2;
  for (let at = -(<i32>(offset & 3)); at < count; at += 4) {
    const mask = dropoutMask4(seedLo, seedHi, stream, step, block, threshold);
    storeBlock(dst, at, count, v128.and(mask, f32x4.splat(1)));
    block++;
  }
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
