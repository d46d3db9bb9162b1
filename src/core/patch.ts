// The relaxed binary is the baseline with fused multiply-adds in the place of products and sums, so the package
// carries only what differs: a list of steps, each some new bytes and a piece of the base.
//   patch = size, step ...            step = count, bytes, move, length
// All numbers are unsigned LEB128. A piece begins `move` bytes after the end of the one before, where 2n stands for n
// and 2n − 1 for −n. scripts/patch.mjs makes patches.

/** What `patch` makes of `base`. */
export function applyPatch(base: Uint8Array, patch: Uint8Array): Uint8Array {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = patch[at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const result = new Uint8Array(number());
  let filled = 0;
  let from = 0;
  while (at < patch.length) {
    const count = number();
    result.set(patch.subarray(at, at + count), filled);
    at += count;
    filled += count;
    const move = number();
    from += move & 1 ? -(move + 1) >> 1 : move >> 1;
    const length = number();
    result.set(base.subarray(from, from + length), filled);
    from += length;
    filled += length;
  }
  return result;
}
