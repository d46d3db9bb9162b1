import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/embedding.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { fill, seed, shape, size } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];

// dtable[ids[i]] += dy[i] in float32, in the order of i: every rounding is known, so the gradient is known to the bit.
function scattered(ids: Float64Array, dy: Float64Array, rows: number, width: number): Float32Array {
  const table = new Float32Array(rows * width);
  ids.forEach((id, i) => {
    for (let j = 0; j < width; j++) table[id * width + j]! += dy[i * width + j]!;
  });
  return table;
}

for (const { name, engine } of all) {
  test(`rows are copied, and gradients added in the order of the ids (${name})`, () => {
    fc.assert(
      fc.property(
        shape({ minRank: 0, maxRank: 3, maxSize: 5, zeros: true }),
        fc.integer({ min: 1, max: 12 }),
        size(70),
        seed,
        fc.boolean(),
        (shape, rows, width, seed, fresh) => {
          const ids = array(shape, fill(shape, seed, { min: 0, max: rows - 1, integers: true }));
          const table = array([rows, width], fill([rows, width], seed + 1));
          const dy = fill([...shape, width], seed + 2);
          const got = differentiate(
            engine,
            { ids: { ...ids, dtype: "int32" }, table },
            ({ ids, table }) => embedding(ids, table),
            dy,
            fresh,
          );
          expectSame(got.y, reference.embedding(table, ids).data, { what: "y" });
          if (got.y.length === 0) return;
          const expected = scattered(ids.data, dy, rows, width);
          expectSame(got.gradients.table!, expected, { what: "dtable", shape: [rows, width] });
        },
      ),
    );
  });

  test(`a packed table is read as it lies (${name})`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), size(40), seed, (rows, width, seed) => {
        engine.run(() => {
          const values = Float32Array.from(fill([rows, width], seed));
          const table = tensor(values, { shape: [rows, width] });
          table.pack();
          const ids = tensor(Int32Array.from({ length: rows }, (_, i) => rows - 1 - i));
          const y = embedding(ids, table);
          const expected = reference.embedding(
            array([rows, width], values),
            array([rows], ids.toArray()),
          );
          expectSame(y.toArray(), expected.data);
          assert.ok(table.packed);
          for (const t of [table, ids, y]) t.dispose();
        });
      }),
      { numRuns: 30 },
    );
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    const shape = [300];
    const ids = { shape, data: fill(shape, 1, { min: 0, max: 9, integers: true }) };
    const table = { shape: [10, 77], data: fill([10, 77], 2) };
    const dy = fill([300, 77], 3);
    const [a, b] = [first!, second!].map(({ engine }) =>
      differentiate(
        engine,
        { ids: { ...ids, dtype: "int32" }, table },
        ({ ids, table }) => embedding(ids, table),
        dy,
      ),
    );
    expectSame(a!.y, b!.y);
    expectSame(a!.gradients.table!, b!.gradients.table!);
  });
}

test("a large lookup runs on both threads", () => {
  two.run(() => {
    const [ids, table] = [tensor(new Int32Array(256)), zeros([4, 128])];
    assert.ok(usesThreads(two, () => embedding(ids, table).dispose()));
  });
});

test("an id out of range is refused with its index and value, other misfits with their shapes", () => {
  one.run(() => {
    const table = zeros([7, 3]);
    for (const [ids, id, at] of [
      [[0, 6, 7, 1], 7, "[1,0]"],
      [[0, -1, 0, 1], -1, "[0,1]"],
    ] as const) {
      assert.throws(
        () => embedding(tensor(Int32Array.from(ids), { shape: [2, 2] }), table),
        (e: Error) =>
          e instanceof UsageError && e.message.includes(`id ${id}`) && e.message.includes(at),
      );
    }
    assert.throws(
      () => embedding(tensor(Int32Array.of(0)), zeros([0, 3])),
      (e: Error) => e instanceof UsageError && e.message.includes("none is valid"),
    );
    assert.throws(
      () => embedding(zeros([2]), table),
      (e: Error) => e instanceof ShapeError && e.message.includes("float32 [2]"),
    );
    assert.throws(
      () => embedding(tensor(Int32Array.of(0)), zeros([7])),
      (e: Error) => e instanceof ShapeError && e.message.includes("[7]"),
    );
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
