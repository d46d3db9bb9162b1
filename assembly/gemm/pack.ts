// Packing: brings a block of an operand into panels, the only form that the micro-kernel reads.
//   A block [mc, kc] -> ceil(mc/4) panels [kc][4]        B block [kc, nc] -> ceil(nc/8) panels [kc][8]
// Panels follow one another without a gap; lanes beyond the edge are zeros. Transposed operands are transposed
// here, four by four in registers, so that no layout is slow. All steps and strides in this file are in bytes.
import { A_ROWS, B_COLS, B_ROWS, MR, NR } from "./blocking";

export class Transpose {
  /** Rows r0..r3 of four floats become four columns, stored `step` bytes apart. */
  // @ts-expect-error: decorator
  @inline
  static store(dst: usize, step: usize, r0: v128, r1: v128, r2: v128, r3: v128): void {
    const lo01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const lo23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
    const hi01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const hi23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    v128.store(dst, v128.shuffle<i64>(lo01, lo23, 0, 2));
    v128.store(dst + step, v128.shuffle<i64>(lo01, lo23, 1, 3));
    v128.store(dst + 2 * step, v128.shuffle<i64>(hi01, hi23, 0, 2));
    v128.store(dst + 3 * step, v128.shuffle<i64>(hi01, hi23, 1, 3));
  }

  /** The 4x4 block at src (rows srcStep apart) goes transposed to dst (rows dstStep apart). */
  // @ts-expect-error: decorator
  @inline
  static block(dst: usize, dstStep: usize, src: usize, srcStep: usize): void {
    Transpose.store(
      dst,
      dstStep,
      v128.load(src),
      v128.load(src + srcStep),
      v128.load(src + 2 * srcStep),
      v128.load(src + 3 * srcStep),
    );
  }
}

/** dst[p·step + i] = src[i·stride + p] for four lanes i and p < k; lanes from `rows` on are zeros. */
// biome-ignore format: one operand a line
export function transposeLanes(
  dst: usize, step: usize,
  src: usize, stride: usize, rows: i32, k: i32,
): void {
  let p = 0;
  if (rows >= 4) {
    for (; p + 4 <= k; p += 4) {
      Transpose.block(dst, step, src, stride);
      dst += 4 * step;
      src += 16;
    }
  }
  for (; p < k; p++) {
    for (let i = 0; i < 4; i++) {
      store<f32>(dst + ((<usize>i) << 2), i < rows ? load<f32>(src + <usize>i * stride) : 0);
    }
    dst += step;
    src += 4;
  }
}

/** dst [k][width] = src rows `stride` bytes apart, of which the first `cols` floats are taken, then zeros. */
function copyLanes(dst: usize, width: i32, src: usize, stride: usize, cols: i32, k: i32): void {
  for (let p = 0; p < k; p++) {
    for (let i = 0; i < width; i++) {
      store<f32>(dst + ((<usize>i) << 2), i < cols ? load<f32>(src + ((<usize>i) << 2)) : 0);
    }
    dst += (<usize>width) << 2;
    src += stride;
  }
}

/**
 * 16 columns at once, a whole cache line of each source row: dst has steps of `step` bytes, and the line's four
 * vectors go to dst, dst + to1, dst + to2 and dst + to3.
 */
// biome-ignore format: one operand a line
function copyLines(
  dst: usize, step: usize, to1: usize, to2: usize, to3: usize, src: usize, stride: usize, k: i32,
): void {
  for (let p = 0; p < k; p++) {
    v128.store(dst, v128.load(src));
    v128.store(dst + to1, v128.load(src, 16));
    v128.store(dst + to2, v128.load(src, 32));
    v128.store(dst + to3, v128.load(src, 48));
    dst += step;
    src += stride;
  }
}

/** One vector of each source row goes to a panel with steps of `step` bytes. */
function copyVectors(dst: usize, step: usize, src: usize, stride: usize, k: i32): void {
  for (let p = 0; p < k; p++) {
    v128.store(dst, v128.load(src));
    dst += step;
    src += stride;
  }
}

/** Packs A [m, k], whose element (0, 0) is at `a`, into panels [k][4]. */
export function packA(dst: usize, a: usize, layout: i32, lda: i32, m: i32, k: i32): void {
  const stride = (<usize>lda) << 2;
  const panel = (<usize>k) << 4;
  let i = 0;
  if (layout == A_ROWS) {
    for (; i < m; i += MR) {
      transposeLanes(dst, 16, a, stride, m - i, k);
      a += stride << 2;
      dst += panel;
    }
    return;
  }
  for (; i + 16 <= m; i += 16) {
    copyLines(dst, 16, panel, 2 * panel, 3 * panel, a, stride, k);
    a += 64;
    dst += 4 * panel;
  }
  for (; i < m; i += MR) {
    if (i + MR <= m) copyVectors(dst, 16, a, stride, k);
    else copyLanes(dst, MR, a, stride, m - i, k);
    a += 16;
    dst += panel;
  }
}

/** Packs B [k, n], whose element (0, 0) is at `b` (see `Operand.at`), into panels [k][8]. */
export function packB(dst: usize, b: usize, layout: i32, ldb: i32, k: i32, n: i32): void {
  const stride = (<usize>ldb) << 2;
  const panel = (<usize>k) << 5;
  let j = 0;
  if (layout == B_ROWS) {
    for (; j + 16 <= n; j += 16) {
      copyLines(dst, 32, 16, panel, panel + 16, b, stride, k);
      b += 64;
      dst += 2 * panel;
    }
    for (; j < n; j += NR) {
      if (j + NR <= n) {
        copyVectors(dst, 32, b, stride, k);
        copyVectors(dst + 16, 32, b + 16, stride, k);
      } else copyLanes(dst, NR, b, stride, n - j, k);
      b += 32;
      dst += panel;
    }
    return;
  }
  for (; j < n; j += NR) {
    const cols = min(NR, n - j);
    if (layout == B_COLS) {
      transposeLanes(dst, 32, b, stride, cols, k);
      transposeLanes(dst + 16, 32, b + 4 * stride, stride, cols - 4, k);
      b += 8 * stride;
    } else {
      packTransposedPanel(dst, b, stride << 3, cols, k);
      b += 256;
    }
    dst += panel;
  }
}

/**
 * One panel [k][8] out of a packed weight W [K, N] as the B of dY·W: the source panels are [N][8 of K] and
 * `stride` bytes apart, so each holds eight steps of k as a contiguous 8x8 block to be transposed.
 */
function packTransposedPanel(dst: usize, src: usize, stride: usize, cols: i32, k: i32): void {
  for (let p = 0; p < k; p += 8) {
    const steps = min(8, k - p);
    if (cols == 8 && steps == 8) {
      Transpose.block(dst, 32, src, 32);
      Transpose.block(dst + 16, 32, src + 128, 32);
      Transpose.block(dst + 128, 32, src + 16, 32);
      Transpose.block(dst + 144, 32, src + 144, 32);
    } else {
      transposeLanes(dst, 32, src, 32, cols, steps);
      transposeLanes(dst + 16, 32, src + 128, 32, cols - 4, steps);
    }
    dst += 256;
    src += stride;
  }
}
