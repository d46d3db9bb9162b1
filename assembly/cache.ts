// The key/value cache of decoding: rows of keys or values are written in place into a persistent tensor. No op:
// nothing is recorded, and no gradient flows.

import { dim, tensor } from "./tensor";

/** cache [B, Tmax, G, D], positions [offset, offset + T) = rows [B, T, G, D]. */
export function writeCache(cache: usize, rows: usize, offset: i32): void {
  const to = tensor(cache);
  const from = tensor(rows);
  const row = (<usize>(dim(to, 2) * dim(to, 3))) << 2;
  const bytes = <usize>dim(from, 1) * row;
  for (let b: usize = 0; b < <usize>dim(to, 0); b++) {
    memory.copy(
      to.data + (b * <usize>dim(to, 1) + <usize>offset) * row,
      from.data + b * bytes,
      bytes,
    );
  }
}
