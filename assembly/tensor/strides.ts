// An iterator over the elements that an op combines: up to six axes, the innermost first, each with its size and how
// far apart its neighbours lie in three arrays. A stride of 0 reads the same element again: that is broadcasting.
// Axes of size 1 are left out and neighbours that lie like one longer axis are joined, so [8, 128, 64] + [64]
// is gone through as [1024, 64].
//
//   for (strides.seek(1, row); ...; strides.next(1)) kernel(x + strides.a, y + strides.b, strides.axis(0).size)
//
// Iterators lie in scratch memory: two for each thread, and behind them three 64-byte lines, in which an element that is
// broadcast over a row is repeated, so that kernels need not know whether their operand is a row or a single number.

import { state } from "../memory/state";

/** Scratch of a thread: two iterators of 144 bytes, three lines. */
const FRAME: usize = 512;
const ITERATOR: usize = 160;
const LINES: usize = 320;

// @ts-ignore: decorator
@unmanaged
export class Axis {
  size: i32;
  /** Strides in the three arrays, in elements. */
  a: i32;
  b: i32;
  c: i32;
  /** Coordinate of the iterator. */
  at: i32;
}

// @ts-ignore: decorator
@unmanaged
export class StridedIterator {
  /** The thread's lines for `repeat`. */
  lines: usize;
  rank: i32;
  /** The next axis must not be joined with the one before. */
  fenced: i32;
  /** Where the iterator stands in the three arrays, in elements. */
  a: i32;
  b: i32;
  c: i32;

  /** Scratch for the iterators of all threads. */
  static scratch(threads: i32): usize {
    return <usize>threads * FRAME;
  }

  /** StridedIterator 0 or 1 of a thread, with no axes yet. */
  static of(thread: i32, which: i32): StridedIterator {
    const frame = state().scratch + <usize>thread * FRAME;
    const strides = changetype<StridedIterator>(frame + <usize>which * ITERATOR);
    strides.lines = frame + LINES;
    strides.rank = 0;
    strides.fenced = 0;
    return strides;
  }

  /** Axis `i` from the inside; only i < rank exist. */
  axis(i: i32): Axis {
    return changetype<Axis>(
      changetype<usize>(this) + offsetof<StridedIterator>() + <usize>i * offsetof<Axis>(),
    );
  }

  /** Keeps the next axis from being joined with the ones so far: another axis, of whatever size, lies between. */
  fence(): void {
    this.fenced = 1;
  }

  /** Puts an axis around the ones so far. */
  add(size: i32, a: i32, b: i32, c: i32): void {
    if (size == 1) return;
    if (this.rank > 0 && !this.fenced) {
      const inner = this.axis(this.rank - 1);
      const n = inner.size;
      if (a == inner.a * n && b == inner.b * n && c == inner.c * n) {
        inner.size = n * size;
        return;
      }
    }
    const axis = this.axis(this.rank);
    axis.size = size;
    axis.a = a;
    axis.b = b;
    axis.c = c;
    this.rank += 1;
    this.fenced = 0;
  }

  /** Size of the innermost axis; 1 when there is none. */
  width(): i32 {
    return this.rank == 0 ? 1 : this.axis(0).size;
  }

  /** Positions of the iterator over the axes from `first` outwards. */
  count(first: i32): i32 {
    let positions = 1;
    for (let i = first; i < this.rank; i++) positions *= this.axis(i).size;
    return positions;
  }

  /** Goes to position `index` of the iterator over the axes from `first` outwards. */
  seek(first: i32, index: i32): void {
    this.a = 0;
    this.b = 0;
    this.c = 0;
    for (let i = first; i < this.rank; i++) {
      const axis = this.axis(i);
      const rest = index / axis.size;
      axis.at = index - rest * axis.size;
      this.a += axis.at * axis.a;
      this.b += axis.at * axis.b;
      this.c += axis.at * axis.c;
      index = rest;
    }
  }

  /** Goes one position on, from the last one back to the first. */
  next(first: i32): void {
    for (let i = first; i < this.rank; i++) {
      const axis = this.axis(i);
      axis.at += 1;
      this.a += axis.a;
      this.b += axis.b;
      this.c += axis.c;
      if (axis.at < axis.size) return;
      axis.at = 0;
      this.a -= axis.a * axis.size;
      this.b -= axis.b * axis.size;
      this.c -= axis.c * axis.size;
    }
  }

  /** Address of line 0, 1 or 2, filled with the number at `from`. */
  repeat(line: i32, from: usize): usize {
    const at = this.lines + ((<usize>line) << 6);
    const value = v128.load32_splat(from);
    v128.store(at, value);
    v128.store(at, value, 16);
    v128.store(at, value, 32);
    v128.store(at, value, 48);
    return at;
  }
}
