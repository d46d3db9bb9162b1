// The micro-kernel: C [mr, nr] = or += A [mr, k] · B [k, nr] with the whole tile of C in registers.
// A is read as panels (four lanes every aStep bytes), B as panels (eight lanes every bStep bytes): packed panels
// have steps of 16 and 32 bytes, but an operand whose rows already have that form can be read in place.
// The 4x8 tile needs 8 accumulators, 2 vectors of B, 1 of A, its splat and a product: 13 of 15 registers.
// It has two forms with the same bits. Splatting loads leave the vector units to the sums: 103 % of the mul+add roof
// against 83 % with shuffles (256³, Sapphire Rapids, Node 20 and 24; on Cascade Lake both reach it), 82 to 91 % of the
// relaxed one against 79 to 82 % (Node 22). But engines that check bounds in code pay for each load: there one load
// and four shuffles win by a half. A wider tile, where it pays, is in wide.ts.
// The accumulators start from zero, sum over k in order, and are added to C once, at the end.
import { Simd } from "../math/simd";
import { MR, NR, PAIRED, SPLAT, TILE_FORM } from "./blocking";
import { tile1x8, tile2x8, tile3x8, tile4x4 } from "./edge";
import { Sums } from "./sums";

/** C [4, 8] = or += A · B over k ≥ 1 steps. */
// biome-ignore format: one operand a line
function tile4x8Shuffle(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const row = v128.load(a);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.shuffle<f32>(row, row, 0, 0, 0, 0);
    c00 = Simd.madd(a0, b0, c00);
    c01 = Simd.madd(a0, b1, c01);
    const a1 = v128.shuffle<f32>(row, row, 1, 1, 1, 1);
    c10 = Simd.madd(a1, b0, c10);
    c11 = Simd.madd(a1, b1, c11);
    const a2 = v128.shuffle<f32>(row, row, 2, 2, 2, 2);
    c20 = Simd.madd(a2, b0, c20);
    c21 = Simd.madd(a2, b1, c21);
    const a3 = v128.shuffle<f32>(row, row, 3, 3, 3, 3);
    c30 = Simd.madd(a3, b0, c30);
    c31 = Simd.madd(a3, b1, c31);
    a += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
  Sums.put(c + ldc, accumulate, c10, c11);
  Sums.put(c + 2 * ldc, accumulate, c20, c21);
  Sums.put(c + 3 * ldc, accumulate, c30, c31);
}

/** The same with a splatting load for each row of A. */
// biome-ignore format: one operand a line
function tile4x8Splat(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = Simd.madd(a0, b0, c00);
    c01 = Simd.madd(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = Simd.madd(a1, b0, c10);
    c11 = Simd.madd(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = Simd.madd(a2, b0, c20);
    c21 = Simd.madd(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = Simd.madd(a3, b0, c30);
    c31 = Simd.madd(a3, b1, c31);
    a += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
  Sums.put(c + ldc, accumulate, c10, c11);
  Sums.put(c + 2 * ldc, accumulate, c20, c21);
  Sums.put(c + 3 * ldc, accumulate, c30, c31);
}

/** C [mr, nr] = or += sums [mr][8]: brings a tile that overhangs C's edge into place. */
export function storePartial(
  mr: i32,
  nr: i32,
  sums: usize,
  c: usize,
  ldc: usize,
  accumulate: bool,
): void {
  for (let i = 0; i < mr; i++) {
    if (nr == NR) {
      const s0 = v128.load(sums);
      const s1 = v128.load(sums, 16);
      v128.store(c, accumulate ? f32x4.add(v128.load(c), s0) : s0);
      v128.store(c, accumulate ? f32x4.add(v128.load(c, 16), s1) : s1, 16);
    } else {
      for (let j: usize = 0; j < (<usize>nr) << 2; j += 4) {
        const sum = load<f32>(sums + j);
        store<f32>(c + j, accumulate ? load<f32>(c + j) + sum : sum);
      }
    }
    c += ldc;
    sums += 32;
  }
}

/** Chooses the tiles: see TILE_FORM. For the main thread, before the first product. */
export function setTileForm(form: i32): void {
  store<i32>(TILE_FORM, form);
}

/** Does the form read A by splats? PAIRED too: shuffles cannot be paired. */
function splats(): bool {
  const form = load<i32>(TILE_FORM);
  return form == SPLAT || form == PAIRED;
}

/** C [mr, nr] = or += A · B for any mr ≤ 4 and nr ≤ 8; `sums` is room for one tile (128 bytes). */
// biome-ignore format: one operand a line
export function tile(
  mr: i32, nr: i32, k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
  sums: usize,
): void {
  if (nr < NR) {
    if (mr == MR && nr <= 4) tile4x4(k, a, aStep, b, bStep, sums, 32);
    else tile(mr, NR, k, a, aStep, b, bStep, sums, 32, false, 0);
    storePartial(mr, nr, sums, c, ldc, accumulate);
  } else if (mr == 4 && splats()) {
    tile4x8Splat(k, a, aStep, b, bStep, c, ldc, accumulate);
  } else if (mr == 4) tile4x8Shuffle(k, a, aStep, b, bStep, c, ldc, accumulate);
  else if (mr == 3) tile3x8(k, a, aStep, b, bStep, c, ldc, accumulate);
  else if (mr == 2) tile2x8(k, a, aStep, b, bStep, c, ldc, accumulate);
  else tile1x8(k, a, aStep, b, bStep, c, accumulate);
}
