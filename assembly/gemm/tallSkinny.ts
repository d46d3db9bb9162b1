// Products with a tall A stored by columns and a tallSkinny C [M, N], N ≤ 16: dB = dYᵀ·t. Packing A would cost as much as half
// of the sums, so the sides are swapped, Cᵀ = Bᵀ·Aᵀ: the few columns of B are packed as the tile's rows, A's rows
// [K, M] are read in place as B panels with long steps, and each tile is transposed into C. Of the relaxed roof
// 768x8x128 reaches 87 % instead of 60, 384x8x1024 82 instead of 57 (Node 24). Where A's rows are thousands of floats
// apart little is gained (1536x8x1024: 31 % instead of 28), presumably for want of sets in the cache, and 4x8 tiles lose a tenth.
import { A_COLS, MR, NR } from "./blocking";
import { packA, Transpose } from "./pack";
import { tile } from "./tile";
import { wideTile } from "./wide";

/**
 * C [m, n] = or += A · B for m a multiple of 8, A_COLS and B_ROWS, k ≥ 1, in blocks of kBlock steps; ldc in bytes.
 * `scratch` is room for a tile of 384 bytes and for min(k, kBlock) · (n rounded up to 4) floats.
 */
// biome-ignore format: one operand a line
export function tallSkinny(
  widest: i32,
  m: i32, n: i32, k: i32, kBlock: i32,
  a: usize, lda: i32,
  b: usize, ldb: i32,
  c: usize, ldc: usize,
  accumulate: bool,
  scratch: usize,
): void {
  const aStep = (<usize>lda) << 2;
  const panels = scratch + 384;
  for (let k0 = 0; k0 < k; k0 += kBlock) {
    const kc = min(kBlock, k - k0);
    packA(panels, b + ((<usize>k0 * <usize>ldb) << 2), A_COLS, ldb, n, kc);
    const from = a + <usize>k0 * aStep;
    let i = 0;
    while (i < m) {
      const columns = m - i >= widest ? widest : NR;
      const row = (<usize>columns) << 2;
      const ai = from + ((<usize>i) << 2);
      const ci = c + <usize>i * ldc;
      let p = panels;
      for (let j = 0; j < n; j += MR) {
        const width = min(MR, n - j);
        if (columns > NR) wideTile(MR, columns, kc, p, 4, 16, ai, 32, aStep, scratch, row, false, 0);
        else tile(MR, NR, kc, p, 16, ai, aStep, scratch, row, false, 0);
        turn(width, columns, scratch, row, ci + ((<usize>j) << 2), ldc, accumulate);
        p += (<usize>kc) << 4;
      }
      i += columns;
    }
    accumulate = true;
  }
}

/** C [columns, width] = or += the transpose of sums [4, columns] for width ≤ 4; may change the sums. */
// biome-ignore format: one operand a line
function turn(
  width: i32, columns: i32, sums: usize, row: usize, c: usize, ldc: usize, accumulate: bool,
): void {
  for (let i = 0; i < columns; i += 4) {
    Transpose.block(sums, row, sums, row);
    for (let line: usize = 0; line < 4; line++) {
      const from = sums + line * row;
      if (width == 4) {
        const sum = v128.load(from);
        v128.store(c, accumulate ? f32x4.add(v128.load(c), sum) : sum);
      } else {
        for (let j: usize = 0; j < (<usize>width) << 2; j += 4) {
          const sum = load<f32>(from + j);
          store<f32>(c + j, accumulate ? load<f32>(c + j) + sum : sum);
        }
      }
      c += ldc;
    }
    sums += 16;
  }
}
