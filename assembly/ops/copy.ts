// Rows from one place to another: the forwards of the ops that only move numbers copy, their backwards add.

/** Below this many floats a loop is over before `memory.copy` has begun. */
const LONG: i32 = 64;

/** dst [n] = src [n]. */
export function copyRow(dst: usize, src: usize, n: i32): void {
  if (n >= LONG) {
    memory.copy(dst, src, (<usize>n) << 2);
    return;
  }
  const end = dst + ((<usize>n) << 2);
  for (; dst + 16 <= end; dst += 16, src += 16) v128.store(dst, v128.load(src));
  for (; dst < end; dst += 4, src += 4) store<f32>(dst, load<f32>(src));
}

/** dst [n] += src [n]. */
export function addRow(dst: usize, src: usize, n: i32): void {
  const end = dst + ((<usize>n) << 2);
  for (; dst + 32 <= end; dst += 32, src += 32) {
    const t0 = f32x4.add(v128.load(dst), v128.load(src));
    const t1 = f32x4.add(v128.load(dst, 16), v128.load(src, 16));
    v128.store(dst, t0);
    v128.store(dst, t1, 16);
  }
  for (; dst < end; dst += 4, src += 4) store<f32>(dst, load<f32>(dst) + load<f32>(src));
}

/**
 * Elements begin … end − 1 of a block [rows, width], counted row by row: copied, or added when `adds`.
 * Neighbouring rows are `dstStride` and `srcStride` elements apart.
 */
export function moveBlock(
  adds: bool,
  dst: usize,
  dstStride: i32,
  src: usize,
  srcStride: i32,
  width: i32,
  begin: i32,
  end: i32,
): void {
  if (begin >= end) return;
  let row = begin / width;
  let column = begin - row * width;
  for (let i = begin; i < end; row++) {
    const n = min(end - i, width - column);
    const to = dst + ((<usize>(row * dstStride + column)) << 2);
    const from = src + ((<usize>(row * srcStride + column)) << 2);
    if (adds) addRow(to, from, n);
    else copyRow(to, from, n);
    i += n;
    column = 0;
  }
}
