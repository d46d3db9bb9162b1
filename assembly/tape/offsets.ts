// Where buffers lie that are not all in use at once. A buffer is in use during one span of time, or two: what a
// segment makes is made again for backward (recompute.ts). Two buffers may share memory when their spans do not meet.
// The largest is placed first, each at the lowest place where it fits (greedy by size, arXiv:2001.03288, algorithm 3).

import { roundUp } from "../memory/heap";

/**
 * Buffers are as a rule multiples of a page long. Were they to lie at multiples of one, a load would often seem to wait for a store
 * elsewhere that has the same low bits of its address.
 */
const APART: usize = 192;

// @ts-ignore: decorator
@unmanaged
export class Buffer {
  /** Bytes in whole lines; 0 for none. */
  bytes: usize;
  /** When it is in use, first and last time included. */
  begin: i32;
  end: i32;
  /** The second span; none when `again` is 0. */
  again: i32;
  last: i32;
  /** First byte in the block; set by `assignOffsets`. */
  at: u64;
  /** The next one behind it once it is placed, before that the next in size. */
  next: usize;

  static of(at: usize): Buffer {
    return changetype<Buffer>(at);
  }

  static wants(b: Buffer, bytes: usize, time: i32): void {
    b.bytes = roundUp(bytes) + APART;
    b.begin = time;
    b.end = time;
  }

  static meets(a: Buffer, b: Buffer): bool {
    if (a.begin <= b.end && b.begin <= a.end) return true;
    if (a.again != 0 && a.again <= b.end && b.begin <= a.last) return true;
    if (b.again == 0) return false;
    if (a.begin <= b.last && b.again <= a.end) return true;
    return a.again != 0 && a.again <= b.last && b.again <= a.last;
  }

  /** Lets `a` serve as `b` as well if that begins as `a` is in use for the last time. */
  static join(a: Buffer, b: Buffer): bool {
    if (a.bytes == 0 || b.begin != (a.again != 0 ? a.last : a.end)) return false;
    if (a.again != 0) a.last = b.end;
    else a.end = b.end;
    b.bytes = 0;
    return true;
  }
}

/** Two lists, largest first, as one; of equals those of `a` come first. */
function merged(a: usize, b: usize): usize {
  let first: usize = 0;
  let last: usize = 0;
  while (a != 0 || b != 0) {
    const takesA = b == 0 || (a != 0 && Buffer.of(a).bytes >= Buffer.of(b).bytes);
    const taken = takesA ? a : b;
    if (last == 0) first = taken;
    else Buffer.of(last).next = taken;
    last = taken;
    if (takesA) a = Buffer.of(a).next;
    else b = Buffer.of(b).next;
  }
  return first;
}

/** The buffers that are not empty as a list, largest first; 0 when all are. */
function sorted(buffers: usize, count: i32): usize {
  if (count <= 1) return count == 1 && Buffer.of(buffers).bytes != 0 ? buffers : 0;
  const half = count >> 1;
  const rest = buffers + <usize>half * offsetof<Buffer>();
  return merged(sorted(buffers, half), sorted(rest, count - half));
}

/** Places `count` buffers that lie in a row; the bytes of the block that holds them all. */
export function assignOffsets(buffers: usize, count: i32): u64 {
  let first: usize = 0;
  let total: u64 = 0;
  let chosen = sorted(buffers, count);
  while (chosen != 0) {
    const b = Buffer.of(chosen);
    const after = b.next;
    let before: usize = 0;
    for (let q = first; q != 0; q = Buffer.of(q).next) {
      const other = Buffer.of(q);
      if (Buffer.meets(b, other)) {
        if (other.at >= b.at + b.bytes) break;
        b.at = max(b.at, other.at + other.bytes);
      }
      if (other.at < b.at) before = q;
    }
    total = max(total, b.at + b.bytes);
    b.next = before == 0 ? first : Buffer.of(before).next;
    if (before == 0) first = chosen;
    else Buffer.of(before).next = chosen;
    chosen = after;
  }
  return total;
}
