// Causal attention with grouped heads (Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023) and the
// online softmax of FlashAttention (Dao et al. 2022, arXiv:2205.14135): no T×T matrix is kept.
//   s = scale·q·kᵀ     p = softmax(s) over the keys that the query sees     y = p·v
//   q, y [B, Tq, H, D]     k, v [B, Tk, G, D]     starts int32 [B, Tq], optional: the first key that each query sees
// Query t stands at key offset + t and sees nothing behind it: keys from offset + Tq on are never read.
//
// Keys are taken in blocks that are aligned at key 0. With m the largest score so far, l the sum of exp(s − m) and
// o the sum of exp(s − m)·v, a block adds its own sums, from zero in key order (l by key mod 4, in pairs), after l
// and o were multiplied by exp(m before − m), which is exactly 1 where m did not change; masked keys have p = 0. So
// a row's bits depend on its query and its keys alone, and a token decoded with a cache is that token of the whole.
//   unit.ts  what one thread works on   panel.ts  eight rows   row.ts  one row
//   backward.ts, block.ts      the gradients
//
// Saved: m + log l, [B, H, Tq].

import { bounded } from "../../memory/size";
import { state } from "../../memory/state";
import { dim, source, Tensor } from "../../tensor/tensor";
import { Job } from "../../threads/job";
import { addWork } from "../../threads/threads";
import { attentionBackward } from "./backward";
import { backwardRoom } from "./block";
import { forwardPanels, PANEL, panelRoom } from "./panel";
import { attentionRow, rowRoom } from "./row";
import { AttentionRecord, UNIT, Unit } from "./unit";

/** Up to so many rows a unit are worked on one by one, k and v read where they lie: what decoding does. */
const FEW: i32 = 3;

/** Keys and values of a sequence, in bytes, that are still in the second cache when its last head is worked on. */
const FETCHED: usize = 1024 * 1024;
/** Keys and values of all sequences, in bytes, which are not there anyway. */
const WORTH_FETCHING: usize = 256 * 1024;

/** Bytes of one thread's room: | unit | of a row or of panels |. */
function forwardRoom(y: AttentionRecord): usize {
  const d = dim(y, 3);
  const rows = dim(y, 1) * (dim(y, 2) / dim(source(y, 1), 2));
  return bounded(<u64>UNIT + (rows <= FEW ? rowRoom(d) : panelRoom(d, y.offset + dim(y, 1))));
}

// @ts-ignore: decorator
@unmanaged
export class Attention extends AttentionRecord {
  nanoseconds(job: Job): f64 {
    return attentionNanoseconds(this, job);
  }

  savedBytes(): usize {
    return (<usize>(dim(this, 0) * dim(this, 1) * dim(this, 2))) << 2;
  }

  scratchBytes(job: Job, threads: i32): usize {
    return bounded(<u64>threads * (job == Job.Forward ? forwardRoom(this) : backwardRoom(this)));
  }

  readsSource(_i: i32): bool {
    return true;
  }

  readsResult(): bool {
    return true;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    attentionForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    attentionBackward(this, thread, threads);
  }
}

function attentionNanoseconds(y: AttentionRecord, job: Job): f64 {
  const queries = <f64>dim(y, 1);
  const pairs = <f64>(dim(y, 0) * dim(y, 2)) * queries * (<f64>y.offset + (queries + 1) / 2);
  const one = pairs * (<f64>dim(y, 3) / 6 + 1);
  return job == Job.Forward ? one : 2.5 * one;
}

function attentionForward(y: AttentionRecord, thread: i32, threads: i32): void {
  const u = changetype<Unit>(state().scratch + <usize>thread * forwardRoom(y));
  const room = changetype<usize>(u) + UNIT;
  Unit.measure(u, y);
  const panels = (u.rows + PANEL - 1) / PANEL;
  const end = border(u, Unit.count(y), panels, thread + 1, threads);
  let at = border(u, Unit.count(y), panels, thread, threads);
  const from = at / panels;
  const heads = dim(source(y, 1), 2);
  const bytes = seenBytes(u);
  const fetches = heads > 1 && bytes <= FETCHED && <usize>dim(y, 0) * bytes >= WORTH_FETCHING;
  addWork(thread, <u64>(end - at) * <u64>(PANEL * u.width));
  while (at < end) {
    const unit = at / panels;
    const first = at - unit * panels;
    const last = min(panels, first + end - at);
    Unit.place(u, y, unit);
    if (u.rows <= FEW) {
      if (fetches && (unit == from || unit % heads == 0)) fetch(u, y, room);
      for (let r = 0; r < u.rows; r++) attentionRow(u, y, r, room);
    } else forwardPanels(u, y, first, last, room);
    at += last - first;
  }
}

/** Bytes of the keys and values of one sequence that some query sees. */
function seenBytes(u: Unit): usize {
  return 2 * <usize>(u.offset + u.queries) * u.keyStep;
}

/**
 * Reads a number of each line of the keys and values of the sequence, as eight streams: a head's own lie apart, and were
 * read at half of the speed that memory has. Sixteen rows of 40 to 120 keys, four heads of 32, take 0.8 of the time.
 */
function fetch(u: Unit, y: Tensor, room: usize): void {
  const part = (seenBytes(u) >> 3) & ~63;
  const second = part << 1;
  const third = part + second;
  // The sequence begins with its head 0.
  const start = u.keyAt - (u.keyAt % u.keyStep);
  let k = source(y, 1).data + start;
  let v = source(y, 2).data + start;
  const end = k + part;
  let sum = 0;
  for (; k < end; k += 64) {
    sum += load<i32>(k) + load<i32>(k + part) + load<i32>(k + second) + load<i32>(k + third);
    sum += load<i32>(v) + load<i32>(v + part) + load<i32>(v + second) + load<i32>(v + third);
    v += 64;
  }
  // So that no load can be left out.
  store<i32>(room, sum);
}

/**
 * Where a thread's share begins, as unit · panels + panel: a panel counts by the keys that it sees. Panels of one
 * unit may go to several threads; each row is computed whole by one of them.
 */
function border(u: Unit, units: i32, panels: i32, thread: i32, threads: i32): i32 {
  let whole: i64 = 0;
  for (let p = 0; p < panels; p++) whole += Unit.end(u, min(u.rows, (p + 1) * PANEL) - 1);
  const target = (whole * units * thread) / threads;
  let rest = target % whole;
  let panel = 0;
  for (; panel < panels; panel++) {
    const keys = Unit.end(u, min(u.rows, (panel + 1) * PANEL) - 1);
    if (rest < keys) break;
    rest -= keys;
  }
  return <i32>(target / whole) * panels + panel;
}
