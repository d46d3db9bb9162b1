// Products of one to three rows, C [m, n] = or += x [m, k] · B [k, n], without packing.
// Same sums as the micro-kernel, bit for bit: one accumulator an element, k in order, from zero in each block of
// kBlock steps, block sums added to C in order. Panels and rows of B are read where they lie; an unpacked W [n, k]
// is transposed four by four in registers. x's element (m, k) lies at x + m·xRow + k·xStep (bytes).
import { widenPanel } from "./stored";
import { B_COLS, B_PANELS, B_ROWS, NR } from "./blocking";
import { gemv1x32, gemvHalves16, gemv2x16, gemv3x8, gemvRows16 } from "./gemvTile";
import { packB } from "./pack";
import { storePartial } from "./tile";

/** Columns whose panels one or two rows read from end to end: 6 to 11 % less time where they lie beyond the second cache. */
const STRIP: i32 = 32;

/** C [m, n] = or += x · W of one block of k, W unpacked [n, ldw]; fewer than 16 last columns go through a panel. */
// biome-ignore format: one operand a line
function blockOfRows(
  m: i32, n: i32, k: i32, x: usize, xRow: usize, xStep: usize, w: usize, ldw: i32, c: usize, ldc: usize, accumulate: bool,
): i32 {
  const stride = (<usize>ldw) << 2;
  let j = 0;
  for (; j + 16 <= n; j += 16) {
    for (let i = 0; i < m; i++) {
      const row = <usize>i;
      gemvRows16(k, x + row * xRow, xStep, w, stride, c + row * ldc, accumulate);
    }
    w += 16 * stride;
    c += 64;
  }
  return j;
}

/** C [m, n] = or += x · B of one block of k, B's panels (or pieces of its rows) in place; whole panels only. */
// biome-ignore format: one operand a line
function blockOfPanels(
  m: i32, n: i32, k: i32, x: usize, xRow: usize, xStep: usize, b: usize, panel: usize, bStep: usize, c: usize, ldc: usize,
  accumulate: bool,
): i32 {
  let j = 0;
  if (m == 1) {
    for (; j + 32 <= n; j += 32) {
      gemv1x32(k, x, xStep, b, panel, bStep, c, accumulate);
      b += 4 * panel;
      c += 128;
    }
  } else if (m == 2) {
    for (; j + 16 <= n; j += 16) {
      gemv2x16(k, x, xRow, xStep, b, panel, bStep, c, ldc, accumulate);
      b += 2 * panel;
      c += 64;
    }
  }
  return j;
}

/**
 * C [m, n] = or += x [m, k] · B [k, n] for m ≤ 3 and k ≥ 1, B in any layout but B_PANELS_T, its element (0, 0) at b.
 * `scratch` is room for 128 bytes and, unless B is packed, one panel of kBlock steps.
 */
// biome-ignore format: one operand a line
export function gemv(
  m: i32, n: i32, k: i32, kBlock: i32,
  x: usize, xRow: usize, xStep: usize,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, ldc: usize,
  accumulate: bool,
  scratch: usize,
): void {
  const stride = (<usize>ldb) << 2;
  if (m <= 2 && bLayout == B_PANELS && k > kBlock && n > STRIP) {
    for (let j = 0; j < n; j += STRIP) {
      const skip = (<usize>j) << 2;
      gemv(
        m, min(STRIP, n - j), k, kBlock, x, xRow, xStep, b + <usize>j * stride, bLayout, ldb, c + skip, ldc, accumulate, scratch,
      );
    }
    return;
  }
  const x1 = m > 1 ? x + xRow : x;
  const x2 = m > 2 ? x1 + xRow : x;
  for (let k0 = 0; k0 < k; k0 += kBlock) {
    const kc = min(kBlock, k - k0);
    const skip = <usize>k0 * xStep;
    let panel: usize = 32;
    let bStep: usize = stride;
    let bk = b + <usize>k0 * stride;
    let done: i32;
    if (bLayout == B_COLS) {
      bk = b + ((<usize>k0) << 2);
      done = blockOfRows(m, n, kc, x + skip, xRow, xStep, bk, ldb, c, ldc, accumulate);
    } else {
      if (bLayout == B_PANELS) {
        panel = stride << 3;
        bStep = 32;
        bk = b + ((<usize>k0) << 5);
      }
      done = blockOfPanels(m, n, kc, x + skip, xRow, xStep, bk, panel, bStep, c, ldc, accumulate);
    }
    for (let j = done; j < n; j += NR) {
      const nr = min(NR, n - j);
      let bj = bLayout == B_COLS ? bk + <usize>j * stride : bk + (<usize>(j >> 3)) * panel;
      let step = bStep;
      if (bLayout == B_COLS || (bLayout == B_ROWS && nr < NR)) {
        packB(scratch + 128, bj, bLayout, ldb, kc, nr);
        bj = scratch + 128;
        step = 32;
      }
      gemv3x8(kc, x + skip, x1 + skip, x2 + skip, xStep, bj, step, scratch);
      storePartial(m, nr, scratch, c + ((<usize>j) << 2), ldc, accumulate);
    }
    accumulate = true;
  }
}

/**
 * C [m, n] = or += x [m, k] · Wᵀ for a weight of a storage type (stored.ts), m ≤ 3 and k ≥ 1. One row reads the
 * weight in place, 16 columns at a time; what is left is widened panel by panel. `scratch` as for `gemv`.
 */
// biome-ignore format: one operand a line
export function gemvStored<T>(
  m: i32, n: i32, k: i32, kBlock: i32,
  x: usize, xRow: usize, xStep: usize,
  w: usize,
  c: usize, ldc: usize,
  accumulate: bool,
  scratch: usize,
): void {
  const shift = changetype<T>(0).shift();
  const step = <usize>NR << shift;
  const panel = <usize>k * step;
  const x1 = m > 1 ? x + xRow : x;
  const x2 = m > 2 ? x1 + xRow : x;
  for (let j = 0; j < n; ) {
    const strip = m == 1 && j + 2 * NR <= n ? 2 * NR : NR;
    const lanes = min(strip, n - j);
    for (let k0 = 0; k0 < k; k0 += kBlock) {
      const kc = min(kBlock, k - k0);
      const skip = <usize>k0 * xStep;
      const adds = accumulate || k0 > 0;
      if (strip > NR) gemvHalves16<T>(kc, x + skip, xStep, w + <usize>k0 * step, panel, c, adds);
      else {
        widenPanel<T>(scratch + 128, w + ((<usize>k0 * <usize>lanes) << shift), lanes, kc);
        gemv3x8(kc, x + skip, x1 + skip, x2 + skip, xStep, scratch + 128, 32, scratch);
        storePartial(m, lanes, scratch, c, ldc, adds);
      }
    }
    w += <usize>(strip >> 3) * panel;
    c += (<usize>strip) << 2;
    j += strip;
  }
}
