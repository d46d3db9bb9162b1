// Joining pairs in windows, and the tables beneath.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MergeTable } from "../../src/data/merges.ts";
import { NumberHeap } from "../../src/data/numberHeap.ts";
import { PairIndex } from "../../src/data/pairIndex.ts";
import { uniform } from "../support/arbitraries.ts";

/** The rule as it reads: the pair of the lowest rank, the leftmost of equals; a pass over the list for each rank. */
function slowJoin(pairs: readonly (readonly [number, number])[], ids: readonly number[]): number[] {
  let list = [...ids];
  for (;;) {
    let best = pairs.length;
    for (let i = 0; i + 1 < list.length; i++) {
      const rank = pairs.findIndex(([a, b]) => a === list[i] && b === list[i + 1]);
      if (rank >= 0 && rank < best) best = rank;
    }
    if (best === pairs.length) return list;
    const [left, right] = pairs[best]!;
    const next: number[] = [];
    for (let i = 0; i < list.length; i++) {
      const joins = list[i] === left && list[i + 1] === right;
      next.push(joins ? 10 + best : list[i]!);
      if (joins) i++;
    }
    list = next;
  }
}

test("a sequence longer than a window is joined as the rule reads", () => {
  // (0 0) (0 1) ((0 0) (0 0)) (1 (0 1)) ... : runs whose tokens depend on where the run begins.
  const pairs = [
    [0, 0],
    [0, 1],
    [10, 10],
    [1, 11],
    [12, 12],
    [10, 1],
    [2, 0],
  ] as const;
  const table = new MergeTable();
  for (const [rank, [left, right]] of pairs.entries()) table.add(left, right, rank, 10 + rank);
  const next = uniform(1);
  const random = Array.from({ length: 150_000 }, () => Math.floor(next() * next() * 3));
  const runs = Array.from({ length: 150_001 }, (_, i) => (i % 70_001 === 0 ? 1 : 0));
  for (const ids of [random, runs, new Array<number>(131_072).fill(0)]) {
    assert.equal(table.apply(ids), slowJoin(pairs, ids));
  }
});

test("a pair index numbers pairs in their order and finds no others", () => {
  const pair = fc.tuple(fc.nat(40), fc.nat(40));
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 400 }), fc.array(pair), (added, asked) => {
      const index = new PairIndex();
      const known = new Map<string, number>();
      for (const [a, b] of added) {
        const isNew = !known.has(`${a} ${b}`);
        assert.is(index.add(a, b), isNew ? known.size : -1);
        if (isNew) known.set(`${a} ${b}`, known.size);
      }
      for (const [a, b] of asked) assert.is(index.find(a, b), known.get(`${a} ${b}`) ?? -1);
      for (const [key, number] of known) assert.is(index.pair(number).join(" "), key);
    }),
  );
});

test("a heap of numbers gives them back in order", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { maxLength: 300 }), (numbers) => {
      const heap = new NumberHeap();
      for (const number of numbers) heap.push(number);
      const popped = numbers.map(() => heap.pop());
      assert.equal(
        popped,
        [...numbers].sort((a, b) => a - b),
      );
      assert.is(heap.pop(), -1);
    }),
  );
});

test.run();
