// Rows of a table by number: ids [...] (int32), table [V, D] in rows or packed panels -> y [..., D].
//   y[i] = table[ids[i]]     dtable[ids[i]] += g[i], in the order of i: a row used twice gets both gradients
// Threads share the ids in forward, the columns in backward. An unknown id is refused by the front end; should ids
// be written anew, such a row is NaN and passes no gradient on.
//
// Sources: ids, table

import { weightRow } from "../gemm/weight";
import { Job } from "../threads/job";
import { dim, Flag, gradient, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";
import { addRow, copyRow } from "./copy";

// @ts-ignore: decorator
@unmanaged
export class Embedding extends Tensor {
  nanoseconds(_job: Job): f64 {
    return <f64>this.size * ((source(this, 1).flags & Flag.Packed) != 0 ? 1.2 : 0.4);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }

  readsPanels(i: i32): bool {
    return i == 1;
  }

  forward(thread: i32, threads: i32): void {
    embeddingForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    embeddingBackward(this, thread, threads);
  }
}

function embeddingForward(y: Tensor, thread: i32, threads: i32): void {
  const ids = source(y, 0);
  const table = source(y, 1);
  const d = dim(table, 1);
  const bytes = (<usize>d) << 2;
  const isPacked = (table.flags & Flag.Packed) != 0;
  const begin = Share.begin(ids.size, 1, thread, threads);
  const end = Share.end(ids.size, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const id = load<i32>(ids.data + ((<usize>i) << 2));
    const out = y.data + <usize>i * bytes;
    if (<u32>id >= <u32>dim(table, 0)) {
      for (let at = out; at < out + bytes; at += 4) store<f32>(at, f32.NaN);
    } else if (isPacked) weightRow(out, table, id);
    else copyRow(out, table.data + <usize>id * bytes, d);
  }
  addWork(thread, <u64>(end - begin) * <u64>d);
}

function embeddingBackward(y: Tensor, thread: i32, threads: i32): void {
  const ids = source(y, 0);
  const table = source(y, 1);
  const dtable = gradient(table);
  if (dtable == 0) return;
  const d = dim(table, 1);
  const bytes = (<usize>d) << 2;
  const begin = Share.begin(d, 16, thread, threads);
  const columns = Share.end(d, 16, thread, threads) - begin;
  const offset = (<usize>begin) << 2;
  for (let i = 0; i < ids.size; i++) {
    const id = load<i32>(ids.data + ((<usize>i) << 2));
    if (<u32>id >= <u32>dim(table, 0)) continue;
    addRow(dtable + <usize>id * bytes + offset, y.grad + <usize>i * bytes + offset, columns);
  }
  addWork(thread, <u64>ids.size * <u64>columns);
}
