// The matrix product and its low-rank companion, blocked as in Goto & van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008, and BLIS:
//   gemm          C [M, N] = or += A [M, K] · B [K, N]
//   gemmLowRank   C = or += A·B, then + bias [N], then + t [M, r] · Bt [r, N] (Hu et al. 2021, eq. 3, with s in t),
//                 each addition made to a tile of C while it is hot. With Bt = 0 the bits are the base's.
// Every thread calls with the same arguments and computes its own slice of C: no barrier, no shared scratch.
import { bounded, lines } from "../memory/size";
import { addBias, block } from "./block";
import {
  A_COLS,
  A_ROWS,
  B_PANELS,
  B_PANELS_T,
  B_ROWS,
  Blocks,
  MC,
  MR,
  NC,
  NR,
  PAIRED,
  SPLAT,
  Split,
  TILE_FORM,
  widestTile,
} from "./blocking";
import { gemv } from "./gemv";
import { addressB, packA, packB } from "./pack";
import { tallSkinny } from "./tallSkinny";

/** Bytes of the largest tile, [4, 24]. */
const TILE: usize = 384;

/** Bytes of scratch that `gemm` needs for all threads together. */
export function gemmScratch(m: i32, n: i32, k: i32, bLayout: i32, threads: i32): usize {
  return gemmLowRankScratch(m, n, k, bLayout, 0, threads);
}

/** Bytes of scratch that `gemmLowRank` needs for all threads together. */
// biome-ignore format: one operand a line
export function gemmLowRankScratch(
  m: i32, n: i32, k: i32, bLayout: i32, r: i32, threads: i32,
): usize {
  return bounded(<u64>threads * Scratch.size(m, n, k, bLayout, r, threads));
}

/**
 * One thread's scratch: | one tile, 384 bytes | A block | B block | t block | Bt block |.
 * Blocks are as large as the largest slice of a thread needs, and whole cache lines.
 */
class Scratch {
  // @ts-expect-error: decorator
  @inline
  static rows(m: i32, n: i32, threads: i32): i32 {
    const panels = (m + MR - 1) / MR;
    return min(MC, (Split.byRows(m, n) ? (panels + threads - 1) / threads : panels) * MR);
  }

  // @ts-expect-error: decorator
  @inline
  static columns(m: i32, n: i32, threads: i32): i32 {
    const panels = (n + NR - 1) / NR;
    return min(NC, (Split.byRows(m, n) ? panels : (panels + threads - 1) / threads) * NR);
  }

  static size(m: i32, n: i32, k: i32, bLayout: i32, r: i32, threads: i32): usize {
    const rows = Scratch.rows(m, n, threads);
    const columns = Scratch.columns(m, n, threads);
    const depth = min(k, Blocks.depth(bLayout));
    const own: usize = bLayout == B_PANELS ? 0 : lines(columns, depth);
    const blocks: usize = TILE + lines(rows, depth) + own;
    return bounded(<u64>blocks + <u64>lines(rows, r) + <u64>lines(columns, r));
  }
}

/** C [m, n] = or += A · B; layouts and leading dimensions as in blocking.ts, strides in elements. */
// biome-ignore format: one operand a line
export function gemm(
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, ldc: i32,
  accumulate: bool,
  scratch: usize, thread: i32, threads: i32,
): void {
  gemmLowRank(
    m, n, k, a, aLayout, lda, b, bLayout, ldb, c, ldc, accumulate, 0, 0, 0, 0, 0, 0, 0, scratch, thread, threads,
  );
}

/**
 * C [m, n] = or += A · B, then + bias [n] (none if 0), then + t [m, r] · Bt (none if r = 0).
 * t is row-major with leading dimension ldt; Bt is B_COLS (stored [n, r]) or B_ROWS (stored [r, n]).
 */
// biome-ignore format: one operand a line
export function gemmLowRank(
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, ldc: i32,
  accumulate: bool,
  bias: usize,
  r: i32, t: usize, ldt: i32, bt: usize, btLayout: i32, ldbt: i32,
  scratch: usize, thread: i32, threads: i32,
): void {
  scratch += <usize>thread * Scratch.size(m, n, k, bLayout, r, threads);
  if (bLayout == B_PANELS) ldb = k;
  else if (bLayout == B_PANELS_T) ldb = n;

  let m0 = 0;
  let m1 = m;
  let n0 = 0;
  let n1 = n;
  if (Split.byRows(m, n)) {
    const panels = (m + MR - 1) / MR;
    m0 = Split.first(panels, thread, threads) * MR;
    m1 = min(m, Split.first(panels, thread + 1, threads) * MR);
  } else {
    const panels = (n + NR - 1) / NR;
    n0 = Split.first(panels, thread, threads) * NR;
    n1 = min(n, Split.first(panels, thread + 1, threads) * NR);
  }
  if (m0 >= m1 || n0 >= n1) return;

  const cStep = (<usize>ldc) << 2;
  c += <usize>m0 * cStep + ((<usize>n0) << 2);
  if (bias != 0) bias += (<usize>n0) << 2;
  a += (aLayout == A_ROWS ? <usize>m0 * <usize>lda : <usize>m0) << 2;
  b = addressB(b, bLayout, ldb, 0, n0);
  t += (<usize>m0 * <usize>ldt) << 2;
  bt = addressB(bt, btLayout, ldbt, 0, n0);
  m = m1 - m0;
  n = n1 - n0;

  if (k == 0 && !accumulate) {
    for (let i = 0; i < m; i++) memory.fill(c + <usize>i * cStep, 0, (<usize>n) << 2);
    accumulate = true;
  }
  if (m <= 3 && bLayout != B_PANELS_T) {
    const row = (<usize>lda) << 2;
    const xRow = aLayout == A_ROWS ? row : <usize>4;
    const xStep = aLayout == A_ROWS ? <usize>4 : row;
    if (k > 0) gemv(m, n, k, Blocks.kc(), a, xRow, xStep, b, bLayout, ldb, c, cStep, accumulate, scratch);
    if (bias != 0) addBias(m, n, bias, c, cStep);
    if (r > 0) gemv(m, n, r, r, t, (<usize>ldt) << 2, 4, bt, btLayout, ldbt, c, cStep, true, scratch);
    return;
  }
  const form = load<i32>(TILE_FORM);
  const widest = widestTile(form);
  const tall = aLayout == A_COLS && bLayout == B_ROWS && m >= NR && n <= 16;
  if (tall && k > 0 && bias == 0 && r == 0 && (widest > NR || lda <= 1024)) {
    const whole = m & -NR;
    tallSkinny(widest, whole, n, k, Blocks.kc(), a, lda, b, ldb, c, cStep, accumulate, scratch);
    a += (<usize>whole) << 2;
    c += <usize>whole * cStep;
    m -= whole;
    if (m == 0) return;
  }
  blocked(form, m, n, k, a, aLayout, lda, b, bLayout, ldb, c, cStep, accumulate, bias, r, t, ldt, bt, btLayout, ldbt, scratch);
}

/** The three loops over blocks; all pointers are at this thread's slice. */
// biome-ignore format: one operand a line
function blocked(
  form: i32,
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, cStep: usize,
  accumulate: bool,
  bias: usize,
  r: i32, t: usize, ldt: i32, bt: usize, btLayout: i32, ldbt: i32,
  scratch: usize,
): void {
  const depthMost = min(k, Blocks.depth(bLayout));
  const mcMost = min(MC, Blocks.roundUp(m, MR));
  const ncMost = min(NC, Blocks.roundUp(n, NR));
  const aBlock = scratch + TILE;
  const bBlock = aBlock + lines(mcMost, depthMost);
  const own: usize = bLayout == B_PANELS ? 0 : lines(ncMost, depthMost);
  const tBlock = bBlock + own;
  const btBlock = tBlock + lines(mcMost, r);

  // B's rows are panels with long steps as they lie. For one or two tiles of rows (dA = dUᵀ·X) that beats packing:
  // 8x768x128 from 84 to 93 % of the baseline's roof, from 63 to 88 % of the relaxed one.
  const inPlace = bLayout == B_ROWS && m <= 8 && n % NR == 0;
  // Tiles that splat can read A as it lies, which saves x·Aᵀ for rank 8 a fifth of its time (128x8x768) and 32 columns 4 %.
  // The 4x8 tile then has four pointers to move instead of one, and from 64 columns on packing is as fast; the wide one has as
  // many either way, gains 2 to 3 % at 128 columns and nothing to speak of from 256 on, the paired one 1 to 2 % beyond that.
  const widest = widestTile(form);
  const wide = widest > NR;
  const byRows = aLayout == A_ROWS;
  const few = n <= 256 || form == PAIRED;
  const readsA = wide ? few && (byRows || lda <= 512) : form == SPLAT && byRows && n <= 32;
  const spread = wide || readsA;
  const aNext = (<usize>lda) << 2;
  const aRow: usize = readsA && byRows ? aNext : 4;
  const aStep: usize = readsA ? (byRows ? 4 : aNext) : 16;
  for (let n0 = 0; n0 < n; n0 += NC) {
    const nc = min(NC, n - n0);
    if (r > 0) packB(btBlock, addressB(bt, btLayout, ldbt, 0, n0), btLayout, ldbt, r, nc);
    let k0 = 0;
    do {
      const depth = min(depthMost, k - k0);
      const last = k0 + depth >= k;
      let bPanels = addressB(b, bLayout, ldb, k0, n0);
      let bPanel = (<usize>ldb) << 5;
      let bStep: usize = 32;
      if (inPlace) {
        bPanel = 32;
        bStep = (<usize>ldb) << 2;
      } else if (bLayout != B_PANELS) {
        packB(bBlock, bPanels, bLayout, ldb, depth, nc);
        bPanels = bBlock;
        bPanel = (<usize>depth) << 5;
      }
      for (let m0 = 0; m0 < m; m0 += MC) {
        const mc = min(MC, m - m0);
        const from = aLayout == A_ROWS ? <usize>m0 * <usize>lda + <usize>k0 : <usize>k0 * <usize>lda + <usize>m0;
        let am = a + (from << 2);
        let tm = t + ((<usize>m0 * <usize>ldt) << 2);
        if (!readsA) {
          packA(aBlock, am, aLayout, lda, mc, depth);
          am = aBlock;
        }
        if (!spread && last && r > 0) {
          packA(tBlock, tm, A_ROWS, ldt, mc, r);
          tm = tBlock;
        }
        const at = c + <usize>m0 * cStep + ((<usize>n0) << 2);
        block(
          spread, widest, mc, nc, depth, am, aRow, aStep, readsA ? aRow << 2 : (<usize>depth) << 4, bPanels, bPanel, bStep,
          at, cStep, accumulate || k0 > 0, last && bias != 0 ? bias + ((<usize>n0) << 2) : 0, last ? r : 0,
          tm, (<usize>ldt) << 2, btBlock, scratch,
        );
      }
      k0 += depth;
    } while (k0 < k);
  }
}
