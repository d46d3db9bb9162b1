// The key/value cache of decoding: rows of keys or values are written in place into a persistent tensor, and no gradient
// flows. It is an op so that a captured program does it again, at another offset each time.
//   cache [B, Tmax, G, D], positions [offset, offset + T) = rows [B, T, G, D]     y = offset + T, int32
// Threads share the sequences.
//
// Sources: rows, cache

import { Job } from "../threads/job";
import { dim, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";
import { copyRow } from "./copy";

// @ts-ignore: decorator
@unmanaged
export class WriteCache extends Tensor {
  /** The position of the first row. */
  offset: i32;

  nanoseconds(_job: Job): f64 {
    return <f64>source(this, 0).size;
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    writeCache(this, thread, threads);
  }

  backward(_thread: i32, _threads: i32): void {
    // No gradient flows through a cache: the front end refuses rows that require one.
    unreachable();
  }
}

function writeCache(y: WriteCache, thread: i32, threads: i32): void {
  const from = source(y, 0);
  const to = source(y, 1);
  const row = dim(to, 2) * dim(to, 3);
  const size = dim(from, 1) * row;
  const begin = Share.begin(dim(to, 0), 1, thread, threads);
  const end = Share.end(dim(to, 0), 1, thread, threads);
  for (let b = begin; b < end; b++) {
    const at = (b * dim(to, 1) + y.offset) * row;
    copyRow(to.data + ((<usize>at) << 2), from.data + ((<usize>(b * size)) << 2), size);
  }
  addWork(thread, <u64>(end - begin) * <u64>size);
  if (thread == 0) store<i32>(y.data, y.offset + dim(from, 1));
}
