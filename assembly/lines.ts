// Sizes in whole cache lines: every part of a scratch starts on a line of 64 bytes, so that threads that write
// neighbouring parts share none.

/** Bytes, rounded up to whole cache lines. */
export function wholeLines(bytes: usize): usize {
  return (bytes + 63) & ~(<usize>63);
}

/** Bytes of `floats` floats, rounded up to whole cache lines. */
export function lines(floats: usize): usize {
  return wholeLines(floats << 2);
}
