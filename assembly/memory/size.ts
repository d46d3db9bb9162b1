// Sizes of buffers in bytes. They are made in 64 bits: a size that 32 bits cannot hold becomes one that no memory has, so
// that its allocation fails instead of being too small.

/** A whole number of lines, also after rounding up. */
const TOO_MUCH: u64 = 0xffffffc0;

/** `bytes`, or a size that the allocator refuses when they are too many. */
export function bounded(bytes: u64): usize {
  return <usize>min<u64>(bytes, TOO_MUCH);
}

/** Bytes of floats [rows, width] in whole 64-byte lines. It calls itself so as not to be inlined in fifty places. */
export function lines(rows: i32, width: i32): usize {
  if (rows < 0) return lines(0, width);
  return (bounded((<u64>rows * <u64>width) << 2) + 63) & ~63;
}
