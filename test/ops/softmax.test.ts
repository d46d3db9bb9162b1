import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import { array, row, rowCount } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/softmax.ts";
import { tensor } from "../../src/tensor/create.ts";
import { logSoftmax, softmax } from "../../src/tensor/softmax.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];
const U = 2 ** -24;
const RANGE = { min: -20, max: 20 };

const shapes = fc.oneof(
  shape({ minRank: 1, maxRank: 3, maxSize: 6, zeros: true }),
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 150 })).map((s) => [...s]),
);

// Relative error of e^(x − m) / Σ: the difference loses range·U, which becomes a relative error of the exponential,
// and exp has 2 ulp (4 U); the sum loses the same and n roundings; its inverse and the product one each.
function relativeOf(x: Float64Array): number {
  return (2 * (Math.max(...x) - Math.min(...x)) + x.length + 12) * U;
}

for (const { name, engine } of all) {
  test(`softmax and its gradient are the reference's (${name})`, () => {
    fc.assert(
      fc.property(shapes, seed, fc.boolean(), (shape, seed, fresh) => {
        const x = array(shape, fill(shape, seed, RANGE));
        const dy = array(shape, fill(shape, seed + 1));
        const got = differentiate(engine, { x }, ({ x }) => softmax(x), dy.data, fresh);
        const y = reference.softmax(x);
        const dx = reference.softmaxBackward(dy, x);
        const yTolerance = new Float64Array(y.data.length);
        const dxTolerance = new Float64Array(y.data.length);
        for (let i = 0; i < rowCount(x); i++) {
          const relative = relativeOf(row(x, i));
          const g = row(dy, i);
          const total = row(y, i).reduce((sum, p, j) => sum + p * Math.abs(g[j]!), 0);
          row(y, i).forEach((p, j) => {
            const at = i * g.length + j;
            // Below e^−86.99 the exponential is flushed to 0.
            yTolerance[at] = p * relative + 2 ** -125;
            // y is off by `relative`, the sum Σ g·y by that and its n roundings; two more for − and ·.
            dxTolerance[at] = p * (Math.abs(g[j]!) + total) * (2 * relative + (g.length + 4) * U);
          });
        }
        expectClose(got.y, y.data, yTolerance, { what: "y", shape });
        expectClose(
          got.gradients.x!,
          dx.data,
          dxTolerance.map((t) => t + 2 ** -120),
          { what: "dx", shape },
        );
      }),
    );
  });

  test(`logSoftmax and its gradient are the reference's (${name})`, () => {
    fc.assert(
      fc.property(shapes, seed, fc.boolean(), (shape, seed, fresh) => {
        const x = array(shape, fill(shape, seed, RANGE));
        const dy = array(shape, fill(shape, seed + 1));
        const got = differentiate(engine, { x }, ({ x }) => logSoftmax(x), dy.data, fresh);
        const y = reference.logSoftmax(x);
        const p = reference.softmax(x);
        const dx = reference.logSoftmaxBackward(dy, x);
        const yTolerance = new Float64Array(y.data.length);
        const dxTolerance = new Float64Array(y.data.length);
        for (let i = 0; i < rowCount(x); i++) {
          const n = row(x, i).length;
          const range = Math.max(...row(x, i)) - Math.min(...row(x, i));
          const g = row(dy, i);
          const total = g.reduce((sum, value) => sum + Math.abs(value), 0);
          for (let j = 0; j < n; j++) {
            const at = i * n + j;
            // x − m; the sum's relative error is an absolute one of its logarithm, log has 2 ulp; one rounding of y.
            yTolerance[at] =
              (range + relativeOf(row(x, i)) / U + 4 * Math.log(n) + Math.abs(y.data[at]!) + 4) * U;
            // e^y is off by y's error and exp's 4 U, Σ g by n roundings, and two more.
            dxTolerance[at] =
              p.data[at]! * total * (yTolerance[at]! + (n + 8) * U) +
              2 * U * (Math.abs(g[j]!) + p.data[at]! * total) +
              2 ** -120;
          }
        }
        expectClose(got.y, y.data, yTolerance, { what: "y", shape });
        expectClose(got.gradients.x!, dx.data, dxTolerance, { what: "dx", shape });
      }),
    );
  });

  test(`a row alone has the bits that it has among others (${name})`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70 }), seed, fc.boolean(), (n, seed, log) => {
        const op = log ? logSoftmax : softmax;
        const x = array([5, n], fill([5, n], seed, RANGE));
        const dy = array([5, n], fill([5, n], seed + 1));
        const batch = differentiate(engine, { x }, ({ x }) => op(x), dy.data);
        for (let i = 0; i < 5; i++) {
          const alone = { shape: [1, n], data: row(x, i) };
          const got = differentiate(engine, { x: alone }, ({ x }) => op(x), row(dy, i));
          expectSame(got.y, batch.y.subarray(i * n, (i + 1) * n));
          expectSame(got.gradients.x!, batch.gradients.x!.subarray(i * n, (i + 1) * n));
        }
      }),
      { numRuns: 30 },
    );
  });

  test(`another axis is the last one of the transposed tensor (${name})`, () => {
    const shape = [3, 4, 5];
    const x = { shape, data: fill(shape, 1) };
    const dy = fill(shape, 2);
    const got = differentiate(engine, { x }, ({ x }) => softmax(x, 1), dy);
    const turned = differentiate(
      engine,
      { x },
      ({ x }) => softmax(x.transpose(1, 2)).transpose(1, 2),
      dy,
    );
    expectSame(got.y, turned.y);
    expectSame(got.gradients.x!, turned.gradients.x!);
  });

  test(`infinities and NaN: −∞ has probability 0, NaN spoils its own row only (${name})`, () => {
    const { y } = differentiate(
      engine,
      { x: { shape: [2, 3], data: [0, Number.NEGATIVE_INFINITY, 0, 1, Number.NaN, 2] } },
      ({ x }) => softmax(x),
      new Float32Array(6),
    );
    expectSame(y, [0.5, 0, 0.5, Number.NaN, Number.NaN, Number.NaN]);
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    const shape = [37, 131];
    const x = { shape, data: fill(shape, 3, RANGE) };
    const dy = fill(shape, 4);
    for (const op of [softmax, logSoftmax]) {
      const a = differentiate(first!.engine, { x }, ({ x }) => op(x), dy);
      const b = differentiate(second!.engine, { x }, ({ x }) => op(x), dy);
      expectSame(a.y, b.y);
      expectSame(a.gradients.x!, b.gradients.x!);
    }
  });
}

test("a large softmax runs on both threads", () => {
  const x = two.run(() => tensor(Float32Array.from(fill([4096], 1)), { shape: [64, 64] }));
  assert.ok(usesThreads(two, () => two.run(() => softmax(x).dispose())));
  x.dispose();
});

test("outside a scope, nothing but the result is left behind", () => {
  one.run(() => {
    const x = tensor([
      [1, 2],
      [3, 4],
    ]);
    const before = one.stats().persistentBytes;
    softmax(x, 0).dispose();
    assert.is(one.stats().persistentBytes, before);
    x.dispose();
  });
});

test("a scalar, an axis that does not exist and int32 are refused by name", () => {
  one.run(() => {
    assert.throws(
      () => softmax(tensor(1)),
      (e: Error) => e instanceof ShapeError,
    );
    assert.throws(
      () => softmax(tensor([[1, 2]]), 2),
      (e: Error) => e instanceof ShapeError && e.message.includes("[1,2]"),
    );
    assert.throws(
      () => logSoftmax(tensor(Int32Array.of(1, 2))),
      (e: Error) => e instanceof ShapeError && e.message.includes("int32"),
    );
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
