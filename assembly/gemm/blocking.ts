// Sizes, operand layouts and the split among threads of every matrix product C [M, N] = A [M, K] · B [K, N].
//
// Bits: an element of C has one accumulator and sums over k in ascending order, from zero in each block of KC
// steps; the block sums are then added to C in order. KC is a constant of the build and the boundaries are
// multiples of it from k = 0, so no other choice (tile, panel, thread, path) can change a bit.
//
// Blocking: a B strip of KC·NR floats stays in L1 (16 or 8 KB), an A block of MC·KC floats in L2
// (256 or 128 KB; up to 512 KB beside packed panels), a B block of KC·NC floats in L2 (1 or 0.5 MB; twice as much gains
// nothing).
import { CONSTANTS } from "../memory/layout";

/** Rows of a micro-tile of C, and width of a packed A panel [k][4]. */
export const MR: i32 = 4;
/** Columns of a micro-tile of C, and width of a packed B panel [k][8]. */
export const NR: i32 = 8;
/**
 * Address of the word that says which tiles the products use: one of those below. It is the last word before the
 * constants; the main thread writes it once, before the first product.
 */
export const TILE_FORM: usize = CONSTANTS - 4;
/** 4x8 tiles that read A by splatting loads. */
export const SPLAT: i32 = 0;
/** 4x8 tiles that read A by one load and shuffles. */
export const SHUFFLE: i32 = 1;
/** 2x24 tiles, and SHUFFLE's where C is not that wide. */
export const WIDE: i32 = 2;
/** 4x16 tiles in the relaxed build, for hosts that make one of 256 bits of two neighbouring vectors; else SPLAT's. */
export const PAIRED: i32 = 3;
export const MC: i32 = 128;
export const NC: i32 = 512;

/** A element (m, k) lies at a[m·lda + k]. */
export const A_ROWS: i32 = 0;
/** A element (m, k) lies at a[k·lda + m]: the transposed operand of dYᵀ·X. */
export const A_COLS: i32 = 1;

/** B element (k, n) lies at b[k·ldb + n]. */
export const B_ROWS: i32 = 0;
/** B element (k, n) lies at b[n·ldb + k]: an unpacked weight W [N, K] in x·Wᵀ. */
export const B_COLS: i32 = 1;
/** The packed panels of a weight W [N, K] in x·Wᵀ, used in place; ldb is ignored. */
export const B_PANELS: i32 = 2;
/** The packed panels of a weight W [K, N] in dY·W, transposed block by block in packing; ldb is ignored. */
export const B_PANELS_T: i32 = 3;
/** A weight W [N, K] of a storage type (gemm/stored.ts) in x·Wᵀ, widened block by block in packing; ldb is ignored. */
export const B_BF16: i32 = 4;
export const B_F16: i32 = 5;
/** A weight W [K, N] of a storage type in dY·W, widened and transposed block by block; ldb is ignored. */
export const B_BF16_T: i32 = 6;
export const B_F16_T: i32 = 7;

/** Columns of the widest tile of a form. */
export function widestTile(form: i32): i32 {
  if (form == WIDE) return 3 * NR;
  return ASC_FEATURE_RELAXED_SIMD && form == PAIRED ? 2 * NR : NR;
}

export class Blocks {
  /** Steps of k between two additions into C. Part of the meaning of a product: see the file head. */
  // @ts-expect-error: decorator
  @inline
  static kc(): i32 {
    return ASC_FEATURE_RELAXED_SIMD ? 256 : 512;
  }

  /**
   * Steps of k in the blocks of A and B that the loops go through. Packed panels are whole already: each strip of them is
   * read from end to end, one block of KC after another, while the strip of C is hot.
   */
  // @ts-expect-error: decorator
  @inline
  static depth(bLayout: i32): i32 {
    return bLayout == B_PANELS ? 1024 : Blocks.kc();
  }

  /** Is the operand a weight of dY·W, in panels of its rows? */
  // @ts-expect-error: decorator
  @inline
  static isTransposed(bLayout: i32): bool {
    return bLayout == B_PANELS_T || bLayout >= B_BF16_T;
  }

  /** x rounded up to a multiple of `unit`, a power of two. */
  // @ts-expect-error: decorator
  @inline
  static roundUp(x: i32, unit: i32): i32 {
    return (x + unit - 1) & -unit;
  }
}

export class Split {
  /** First item of a thread's slice of `count`; the slice ends where the next thread's begins. */
  // @ts-expect-error: decorator
  @inline
  static first(count: i32, thread: i32, threads: i32): i32 {
    return <i32>((<i64>count * <i64>thread) / <i64>threads);
  }

  /** Whether threads share the rows of C (else its columns). Few rows are a GEMV, which splits columns. */
  // @ts-expect-error: decorator
  @inline
  static byRows(m: i32, n: i32): bool {
    return m > 3 && m >= n;
  }
}
