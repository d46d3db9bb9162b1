import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/rope.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { rope, ropeTable } from "../../src/tensor/rope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];
const U = 2 ** -24;
const MAX_POSITIONS = 40;

const cases = fc.record({
  b: fc.integer({ min: 0, max: 3 }),
  t: fc.integer({ min: 0, max: 5 }),
  heads: fc.integer({ min: 0, max: 3 }),
  half: fc.integer({ min: 1, max: 20 }),
  theta: fc.constantFrom(10000, 500000),
  style: fc.constantFrom("half" as const, "interleaved" as const),
  seed,
  fresh: fc.boolean(),
});

// The numbers that are turned together with each number of a head, itself included: |u| + |v|.
function pairSums(x: Float64Array, d: number, style: "half" | "interleaved"): Float64Array {
  return x.map((_, i) => {
    const at = i % d;
    const first = style === "half" ? at % (d / 2) : at & ~1;
    const second = first + (style === "half" ? d / 2 : 1);
    return Math.abs(x[i - at + first]!) + Math.abs(x[i - at + second]!);
  });
}

for (const { name, engine } of all) {
  test(`heads and their gradients are turned as in the reference (${name})`, () => {
    fc.assert(
      fc.property(cases, ({ b, t, heads, half, theta, style, seed, fresh }) => {
        const d = 2 * half;
        const shape = [b, t, heads, d];
        const x = array(shape, fill(shape, seed));
        const dy = array(shape, fill(shape, seed + 1));
        const range = { min: 0, max: MAX_POSITIONS - 1, integers: true };
        const positions = array([b, t], fill([b, t], seed + 2, range));
        const table = engine.run(() => ropeTable(MAX_POSITIONS, d, theta));
        const got = differentiate(
          engine,
          { x, positions: { ...positions, dtype: "int32" } },
          ({ x, positions }) => rope(x, table, positions, style),
          dy.data,
          fresh,
        );
        table.dispose();
        const options = { theta, convention: style };
        // Each product has the rounding of cos or sin and its own, their sum one more.
        const allowed = (sums: Float64Array) => sums.map((sum) => 4 * U * sum);
        const y = reference.rope(x, positions, options).data;
        expectClose(got.y, y, allowed(pairSums(x.data, d, style)), { what: "y", shape });
        if (y.length === 0) return;
        const dx = reference.ropeBackward(dy, positions, options).data;
        const dxAllowed = allowed(pairSums(dy.data, d, style));
        expectClose(got.gradients.x!, dx, dxAllowed, { what: "dx", shape });
      }),
    );
  });

  test(`the table holds cos and sin, rounded once (${name})`, () => {
    const [positions, half, theta] = [2048, 16, 10000];
    const table = engine.run(() => ropeTable(positions, 2 * half, theta));
    const expected = Float64Array.from({ length: positions * half * 2 }, (_, i) => {
      const pair = Math.floor(i / 2);
      const angle = Math.floor(pair / half) * theta ** -((pair % half) / half);
      return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
    });
    // Half an ulp of a number below 1, and angles of up to 2048 to about 1e-15 relative.
    expectClose(table.toArray(), expected, U / 2 + 1e-11);
    assert.is(`${table.shape}`, `${[positions, half, 2]}`);
    assert.ok(table.persistent);
    table.dispose();
  });

  test(`position 0 changes nothing, and interleaved is half with the numbers in another order (${name})`, () => {
    const [d, shape] = [22, [1, 3, 2, 22]] as const;
    const x = fill(shape, 5);
    const order = Array.from({ length: d }, (_, j) => (j < d / 2 ? 2 * j : 2 * (j - d / 2) + 1));
    const shuffled = x.map((_, i) => x[i - (i % d) + order[i % d]!]!);
    engine.run(() => {
      const table = ropeTable(8, d, 10000);
      const at = (values: Float64Array, positions: number[], style: "half" | "interleaved") => {
        const y = rope(
          tensor(Float32Array.from(values), { shape }),
          table,
          tensor(Int32Array.from(positions), { shape: [1, 3] }),
          style,
        );
        return y.toArray();
      };
      expectSame(at(x, [0, 0, 0], "half"), x);
      expectSame(at(x, [0, 0, 0], "interleaved"), x);
      const interleaved = at(x, [7, 0, 3], "interleaved");
      const half = at(shuffled, [7, 0, 3], "half");
      expectSame(
        half,
        interleaved.map((_, i) => interleaved[i - (i % d) + order[i % d]!]!),
      );
    });
  });

  test(`a token alone has the bits that it has among others (${name})`, () => {
    for (const style of ["half", "interleaved"] as const) {
      const d = 14;
      const x = fill([2, 3, 2, d], 6);
      engine.run(() => {
        const table = ropeTable(9, d, 10000);
        const turn = (
          values: Float64Array,
          positions: number[],
          shape: number[],
        ): ArrayLike<number> =>
          rope(
            tensor(Float32Array.from(values), { shape: [...shape, 2, d] }),
            table,
            tensor(Int32Array.from(positions), { shape }),
            style,
          ).toArray();
        const positions = [8, 1, 5, 0, 3, 2];
        const batch = turn(x, positions, [2, 3]);
        positions.forEach((position, i) => {
          const alone = turn(x.subarray(i * 2 * d, (i + 1) * 2 * d), [position], [1, 1]);
          expectSame(alone, Array.from(batch).slice(i * 2 * d, (i + 1) * 2 * d));
        });
      });
    }
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    const shape = [3, 37, 5, 22];
    const x = { shape, data: fill(shape, 1) };
    const range = { min: 0, max: MAX_POSITIONS - 1, integers: true };
    const positions = { shape: [3, 37], data: fill([3, 37], 2, range), dtype: "int32" as const };
    const dy = fill(shape, 3);
    const [a, b] = [first!, second!].map(({ engine }) => {
      const table = engine.run(() => ropeTable(MAX_POSITIONS, 22, 10000));
      return differentiate(
        engine,
        { x, positions },
        ({ x, positions }) => rope(x, table, positions, "half"),
        dy,
      );
    });
    expectSame(a!.y, b!.y);
    expectSame(a!.gradients.x!, b!.gradients.x!);
  });
}

test("a large rotation runs on both threads", () => {
  two.run(() => {
    const table = ropeTable(4, 64, 10000);
    const positions = tensor(new Int32Array(64), { shape: [1, 64] });
    const x = zeros([1, 64, 4, 64]);
    assert.ok(usesThreads(two, () => rope(x, table, positions, "half").dispose()));
  });
});

test("misfits are refused with all shapes, an unknown position with its index and value", () => {
  one.run(() => {
    const table = ropeTable(4, 6, 10000);
    const x = zeros([1, 2, 3, 6]);
    const positions = (values: number[], shape = [1, 2]): Tensor =>
      tensor(Int32Array.from(values), { shape });
    assert.throws(
      () => rope(x, table, positions([3, 4]), "half"),
      (e: Error) =>
        e instanceof UsageError && e.message.includes("position 4") && e.message.includes("[0,1]"),
    );
    assert.throws(
      () => rope(zeros([1, 2, 3, 8]), table, positions([0, 1]), "half"),
      (e: Error) =>
        e instanceof ShapeError && e.message.includes("[1,2,3,8]") && e.message.includes("[4,3,2]"),
    );
    assert.throws(
      () => rope(x, table, positions([0, 1], [2, 1]), "half"),
      (e: Error) => e instanceof ShapeError && e.message.includes("[2,1]"),
    );
    assert.throws(
      () => ropeTable(4, 5, 10000),
      (e: Error) => e instanceof UsageError && /5/.test(e.message),
    );
    assert.throws(
      () => ropeTable(4, 6, 0),
      (e: Error) => e instanceof UsageError && /theta is 0/.test(e.message),
    );
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
