// The matrix product with its low-rank branch, blocked as in Goto & van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008, and BLIS:
//   C [M, N] = or += A [M, K] · B [K, N], then + bias [N], then + t [M, r] · Bt [r, N] (Hu et al. 2021, eq. 3, with s in t),
// each addition made to a tile of C while it is hot. With Bt = 0 the bits are those without a branch.
// Every thread calls with the same product and computes its own slice of C: no barrier, no shared scratch.
import { packStored, packStoredT } from "./stored";
import { F16Weight } from "../weights/f16";
import { BF16Weight } from "../weights/bf16";
import { bounded, lines } from "../memory/size";
import { Operand, Product } from "./product";
import { addBias, block } from "./block";
import {
  A_COLS,
  A_ROWS,
  B_BF16,
  B_BF16_T,
  B_F16,
  B_F16_T,
  B_PANELS,
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
import { gemv, gemvStored } from "./gemv";
import { packA, packB } from "./pack";
import { tallSkinny } from "./tallSkinny";

/** Bytes of the largest tile, [4, 24]. */
const TILE: usize = 384;

/** Bytes of scratch that a product without a branch needs for all threads together. */
export function gemmScratch(m: i32, n: i32, k: i32, bLayout: i32, threads: i32): usize {
  return gemmLowRankScratch(m, n, k, bLayout, 0, threads);
}

/** Bytes of scratch that a product needs for all threads together. */
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

/** Computes a thread's slice of a product; the record is used up. `scratch` as `gemmLowRankScratch` says. */
export function gemm(p: Product, scratch: usize, thread: i32, threads: i32): void {
  const a = p.a;
  const b = p.b;
  scratch += <usize>thread * Scratch.size(p.m, p.n, p.k, b.layout, p.r, threads);
  if (Blocks.isTransposed(b.layout)) b.ld = p.n;
  else if (b.layout >= B_PANELS) b.ld = p.k;
  if (!narrowed(p, thread, threads)) return;

  const cStep = (<usize>p.ldc) << 2;
  if (p.k == 0 && !p.accumulate) {
    for (let i = 0; i < p.m; i++) memory.fill(p.c + <usize>i * cStep, 0, (<usize>p.n) << 2);
    p.accumulate = true;
  }
  if (p.m <= 3 && !Blocks.isTransposed(b.layout)) {
    fewRows(p, scratch);
    return;
  }
  const form = load<i32>(TILE_FORM);
  const widest = widestTile(form);
  const tall = a.layout == A_COLS && b.layout == B_ROWS && p.m >= NR && p.n <= 16;
  if (tall && p.k > 0 && p.bias == 0 && p.r == 0 && (widest > NR || a.ld <= 1024)) {
    const whole = p.m & -NR;
    // biome-ignore format: one operand after the other
    tallSkinny(
      widest, whole, p.n, p.k, Blocks.kc(), a.data, a.ld, b.data, b.ld, p.c, cStep, p.accumulate, scratch,
    );
    a.data += (<usize>whole) << 2;
    p.c += <usize>whole * cStep;
    p.m -= whole;
    if (p.m == 0) return;
  }
  blocked(form, p, scratch);
}

/** Narrows a product to the thread's slice; false when that is empty. */
function narrowed(p: Product, thread: i32, threads: i32): bool {
  let m0 = 0;
  let m1 = p.m;
  let n0 = 0;
  let n1 = p.n;
  if (Split.byRows(m1, n1)) {
    const panels = (m1 + MR - 1) / MR;
    m0 = Split.first(panels, thread, threads) * MR;
    m1 = min(m1, Split.first(panels, thread + 1, threads) * MR);
  } else {
    const panels = (n1 + NR - 1) / NR;
    n0 = Split.first(panels, thread, threads) * NR;
    n1 = min(n1, Split.first(panels, thread + 1, threads) * NR);
  }
  if (m0 >= m1 || n0 >= n1) return false;
  const a = p.a;
  a.data += (a.layout == A_ROWS ? <usize>m0 * <usize>a.ld : <usize>m0) << 2;
  p.b.startAt(n0);
  p.c += (<usize>m0 * <usize>p.ldc + <usize>n0) << 2;
  if (p.bias != 0) p.bias += (<usize>n0) << 2;
  if (p.r > 0) {
    p.t.data += (<usize>m0 * <usize>p.t.ld) << 2;
    p.bt.data = p.bt.at(0, n0);
  }
  p.m = m1 - m0;
  p.n = n1 - n0;
  return true;
}

/** A product of up to three rows. */
function fewRows(p: Product, scratch: usize): void {
  const a = p.a;
  const b = p.b;
  const cStep = (<usize>p.ldc) << 2;
  const row = (<usize>a.ld) << 2;
  const xRow = a.layout == A_ROWS ? row : <usize>4;
  const xStep = a.layout == A_ROWS ? <usize>4 : row;
  if (p.k > 0 && b.layout == B_BF16) {
    // biome-ignore format: one operand after the other
    gemvStored<BF16Weight>(
      p.m, p.n, p.k, Blocks.kc(), a.data, xRow, xStep, b.data, p.c, cStep, p.accumulate, scratch,
    );
  } else if (p.k > 0 && b.layout == B_F16) {
    // biome-ignore format: one operand after the other
    gemvStored<F16Weight>(
      p.m, p.n, p.k, Blocks.kc(), a.data, xRow, xStep, b.data, p.c, cStep, p.accumulate, scratch,
    );
  } else if (p.k > 0) {
    // biome-ignore format: one operand after the other
    gemv(
      p.m, p.n, p.k, Blocks.kc(), a.data, xRow, xStep, b.data, b.layout, b.ld, p.c, cStep, p.accumulate, scratch,
    );
  }
  if (p.bias != 0) addBias(p.m, p.n, p.bias, p.c, cStep);
  if (p.r == 0) return;
  const t = p.t;
  const bt = p.bt;
  // biome-ignore format: one operand after the other
  gemv(
    p.m, p.n, p.r, p.r, t.data, (<usize>t.ld) << 2, 4, bt.data, bt.layout, bt.ld, p.c, cStep, true, scratch,
  );
}

/** Packs the block of `depth` steps from k0 and `nc` columns from n0 of a weight of a storage type; K is k. */
function widen(dst: usize, b: Operand, k: i32, k0: i32, n0: i32, depth: i32, nc: i32): void {
  const w = b.data;
  const column = b.column + n0;
  // biome-ignore format: one type a line
  switch (b.layout) {
    case B_BF16: packStored<BF16Weight>(dst, w + ((<usize>n0 * <usize>k) << 1), k, k0, nc, depth); break;
    case B_F16: packStored<F16Weight>(dst, w + ((<usize>n0 * <usize>k) << 1), k, k0, nc, depth); break;
    case B_BF16_T: packStoredT<BF16Weight>(dst, w, b.ld, k, k0, column, depth, nc); break;
    case B_F16_T: packStoredT<F16Weight>(dst, w, b.ld, k, k0, column, depth, nc); break;
    default: unreachable();
  }
}

/** The three loops over blocks, on the thread's slice. */
function blocked(form: i32, p: Product, scratch: usize): void {
  const m = p.m;
  const n = p.n;
  const k = p.k;
  const r = p.r;
  const a = p.a;
  const b = p.b;
  const t = p.t;
  const bt = p.bt;
  const bLayout = b.layout;
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
  // Tiles that splat can read A as it lies, which saves x·Aᵀ for rank 8 a fifth of its time (128x8x768) and 32
  // columns 4 %. The 4x8 tile then has four pointers to move instead of one, and from 64 columns on packing is as
  // fast. The wide one has as many either way, gains 2 to 3 % at 128 columns and nothing to speak of from 256 on;
  // the paired one 1 to 2 % beyond that.
  const widest = widestTile(form);
  const wide = widest > NR;
  const byRows = a.layout == A_ROWS;
  const few = n <= 256 || form == PAIRED;
  const readsA = wide ? few && (byRows || a.ld <= 512) : form == SPLAT && byRows && n <= 32;
  const spread = wide || readsA;
  const aNext = (<usize>a.ld) << 2;
  const aRow: usize = readsA && byRows ? aNext : 4;
  const aStep: usize = readsA ? (byRows ? 4 : aNext) : 16;
  const tRow = (<usize>t.ld) << 2;
  const cStep = (<usize>p.ldc) << 2;
  for (let n0 = 0; n0 < n; n0 += NC) {
    const nc = min(NC, n - n0);
    if (r > 0) packB(btBlock, bt.at(0, n0), bt.layout, bt.ld, r, nc);
    let k0 = 0;
    do {
      const depth = min(depthMost, k - k0);
      const last = k0 + depth >= k;
      let bPanels: usize = 0;
      let bPanel = (<usize>b.ld) << 5;
      let bStep: usize = 32;
      if (bLayout < B_BF16) bPanels = b.at(k0, n0);
      if (inPlace) {
        bPanel = 32;
        bStep = (<usize>b.ld) << 2;
      } else if (bLayout != B_PANELS) {
        if (bLayout < B_BF16) packB(bBlock, bPanels, bLayout, b.ld, depth, nc);
        else widen(bBlock, b, k, k0, n0, depth, nc);
        bPanels = bBlock;
        bPanel = (<usize>depth) << 5;
      }
      const bias = last && p.bias != 0 ? p.bias + ((<usize>n0) << 2) : 0;
      for (let m0 = 0; m0 < m; m0 += MC) {
        const mc = min(MC, m - m0);
        const row = <usize>m0;
        const step = <usize>k0;
        const lda = <usize>a.ld;
        let am = a.data + ((byRows ? row * lda + step : step * lda + row) << 2);
        let tm = t.data + row * tRow;
        if (!readsA) {
          packA(aBlock, am, a.layout, a.ld, mc, depth);
          am = aBlock;
        }
        if (!spread && last && r > 0) {
          packA(tBlock, tm, A_ROWS, t.ld, mc, r);
          tm = tBlock;
        }
        const at = p.c + row * cStep + ((<usize>n0) << 2);
        // biome-ignore format: one operand after the other
        block(
          spread, widest, mc, nc, depth, am, aRow, aStep, readsA ? aRow << 2 : (<usize>depth) << 4, bPanels, bPanel, bStep,
          at, cStep, p.accumulate || k0 > 0, bias, last ? r : 0, tm, tRow, btBlock, scratch,
        );
      }
      k0 += depth;
    } while (k0 < k);
  }
}
