// The unit of attention: one key/value head of one sequence, with the n = H/G query heads that share it.
// Its query rows are numbered r = t·n + i (query t, head i of the group), so causality goes by blocks of rows.
// Row r sees the keys [begin, end): from its segment's start to its own position, offset + t, inclusive.

import { dim, source, Tensor } from "../../tensor/tensor";

/** Keys that are worked on at a time. Blocks are aligned at key 0, which makes their sums those of any caller. */
export const KEYS: i32 = 64;

/** Bytes of a unit's record, at the head of a thread's room. */
export const UNIT: usize = 128;

// @ts-ignore: decorator
@unmanaged
export class AttentionRecord extends Tensor {
  /** The position of query 0 among the keys. */
  offset: i32;
  /** The factor of the scores. */
  scale: f32;
}

// @ts-ignore: decorator
@unmanaged
export class Unit {
  /** Tq, n, R = Tq·n. */
  queries: i32;
  group: i32;
  rows: i32;
  /** D, and D rounded up to whole panels of eight. */
  width: i32;
  padded: i32;
  /** Keys before query 0. */
  offset: i32;
  scale: f32;
  /** Bytes from one query to the next in q, and from one key to the next in k and v. */
  queryStep: usize;
  keyStep: usize;
  /** Where the unit begins in q (and y), in k (and v), and in the statistics [B, H, Tq]. */
  queryAt: usize;
  keyAt: usize;
  statisticsAt: usize;
  /** starts [Tq] of the sequence, or 0. */
  starts: usize;

  /** How many units there are. */
  static count(y: Tensor): i32 {
    const k = source(y, 1);
    return dim(k, 0) * dim(k, 2);
  }

  /** Sizes of the units of `y`, all alike. */
  static measure(u: Unit, y: AttentionRecord): void {
    const q = source(y, 0);
    const heads = dim(q, 2);
    const groups = dim(source(y, 1), 2);
    u.queries = dim(q, 1);
    u.group = heads / groups;
    u.rows = u.queries * u.group;
    u.width = dim(q, 3);
    u.padded = (u.width + 7) & ~7;
    u.offset = y.offset;
    u.scale = y.scale;
    u.queryStep = (<usize>(heads * u.width)) << 2;
    u.keyStep = (<usize>(groups * u.width)) << 2;
  }

  /** Places `u` at unit `index`. */
  static place(u: Unit, y: Tensor, index: i32): void {
    const k = source(y, 1);
    const groups = dim(k, 2);
    const batch = index / groups;
    const g = index - batch * groups;
    const head = (<usize>u.width) << 2;
    u.queryAt = <usize>(batch * u.queries) * u.queryStep + <usize>(g * u.group) * head;
    u.keyAt = <usize>(batch * dim(k, 1)) * u.keyStep + <usize>g * head;
    u.statisticsAt = (<usize>(batch * dim(y, 2) * u.queries + g * u.rows)) << 2;
    u.starts = y.sources > 3 ? source(y, 3).data + ((<usize>(batch * u.queries)) << 2) : 0;
  }

  /** The query that row r belongs to. Most models have no groups; a division takes as long as eight products. */
  // @ts-ignore: decorator
  @inline
  static query(u: Unit, r: i32): i32 {
    return u.group == 1 ? r : r / u.group;
  }

  /** Address of row r in a tensor shaped as q that lies at `base`. */
  // @ts-ignore: decorator
  @inline
  static row(u: Unit, base: usize, r: i32): usize {
    const t = Unit.query(u, r);
    return (
      base + u.queryAt + <usize>t * u.queryStep + ((<usize>((r - t * u.group) * u.width)) << 2)
    );
  }

  /** Address of row r's log-sum-exp. */
  // @ts-ignore: decorator
  @inline
  static statistic(u: Unit, y: Tensor, r: i32): usize {
    const t = Unit.query(u, r);
    return y.saved + u.statisticsAt + ((<usize>((r - t * u.group) * u.queries + t)) << 2);
  }

  // @ts-ignore: decorator
  @inline
  static end(u: Unit, r: i32): i32 {
    return u.offset + Unit.query(u, r) + 1;
  }

  /** A start that is no key before the query's own counts as 0 or as that key: every query sees itself. */
  // @ts-ignore: decorator
  @inline
  static begin(u: Unit, r: i32): i32 {
    if (u.starts == 0) return 0;
    const t = Unit.query(u, r);
    return max(0, min(load<i32>(u.starts + ((<usize>t) << 2)), u.offset + t));
  }

  /** dst [padded] = the D floats at src, then zeros. */
  static gather(u: Unit, dst: usize, src: usize): void {
    const end = dst + ((<usize>u.padded) << 2);
    const whole = dst + ((<usize>(u.width & ~3)) << 2);
    const last = dst + ((<usize>u.width) << 2);
    for (; dst < whole; dst += 16) {
      v128.store(dst, v128.load(src));
      src += 16;
    }
    for (; dst < last; dst += 4) {
      store<f32>(dst, load<f32>(src));
      src += 4;
    }
    for (; dst < end; dst += 4) store<f32>(dst, 0);
  }
}

/** Four numbers i32 that lie side by side. */
export class Four {
  static least(at: usize): i32 {
    return min(min(load<i32>(at), load<i32>(at, 4)), min(load<i32>(at, 8), load<i32>(at, 12)));
  }

  static most(at: usize): i32 {
    return max(max(load<i32>(at), load<i32>(at, 4)), max(load<i32>(at, 8), load<i32>(at, 12)));
  }
}
