// The linear layer to the bit: whatever the threads, the number of rows, the layout of the weight, or a branch that
// adds nothing, the same numbers come out.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { array } from "../../src/reference/array.ts";
import { tensor } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { all } from "./againstReference.ts";
import {
  expectSameRun,
  type Layer,
  type LinearSizes,
  layerOf,
  runLayer,
  type Weight,
} from "./linearCase.ts";

/** Both builds: what two threads compute, and one. */
const builds = [
  [all[0]!, all[1]!],
  [all[2]!, all[3]!],
] as const;

const medium = { leading: [127], n: 65, k: 15, r: 5, bias: true, scale: 2, seed: 6 };

for (const [one, two] of builds) {
  test(`two threads give the bits of one, at any shape that they share (${two.name})`, () => {
    fc.assert(
      fc.property(
        fc.record({
          m: fc.integer({ min: 1, max: 150 }),
          n: fc.integer({ min: 1, max: 150 }),
          r: fc.option(fc.integer({ min: 1, max: 20 })),
          bias: fc.boolean(),
          p: fc.constantFrom(0, 0.5),
          fresh: fc.boolean(),
          seed,
        }),
        fc.constantFrom<Weight>("trained", "rows", "panels", "both"),
        ({ m, n, fresh, ...rest }, weight) => {
          // Two threads from 48000 multiplications on: 4 µs at 12 a nanosecond.
          const k = Math.ceil(50000 / (m * n)) + (m % 5);
          const layer = layerOf({ ...rest, leading: [m], n, k, scale: 0.5 });
          const before = two.engine.stats().parallelJobs;
          const got = runLayer(two.engine, layer, { weight, fresh });
          assert.ok(two.engine.stats().parallelJobs >= before + 2, "both passes on two threads");
          expectSameRun(got, runLayer(one.engine, layer, { weight, fresh }), "2 threads against 1");
        },
      ),
      { numRuns: 25 },
    );
  });

  // A race shows now and then only: between two products that divide the scratch, or the output, in different ways.
  for (const [p, weight] of [
    [0, "trained"],
    [0.5, "trained"],
    [0, "panels"],
    [0.5, "panels"],
    [0, "both"],
    [0.5, "both"],
  ] as const) {
    test(`hundreds of runs give the same bits (${two.name}, dropout ${p}, ${weight})`, () => {
      const layer = layerOf({ ...medium, p });
      const expected = runLayer(one.engine, layer, { weight, fresh: true });
      for (let i = 0; i < 200; i++) {
        const got = runLayer(two.engine, layer, { weight, fresh: true });
        expectSameRun(got, expected, `run ${i} on 2 threads`);
      }
    });
  }

  // dX is shared by columns, the bias' gradient by elements, which are rows of x here.
  test(`one tensor as x and as bias gets one gradient, added up in order (${two.name})`, () => {
    const operands = {
      v: array([240], fill([240], 1)),
      w: { ...array([240, 30], fill([240, 30], 2)), grad: false },
    };
    const dy = fill([8, 240], 3);
    const run = ({ engine }: typeof one) =>
      differentiate(engine, operands, ({ v, w }) => linear(v.reshape([8, 30]), w, v).add(v), dy);
    const expected = run(one);
    for (let i = 0; i < 200; i++) expectSameRun(run(two), expected, `run ${i}`);
  });

  test(`forward and backward run on both threads (${two.name})`, () => {
    const layer = layerOf({ ...medium, p: 0.5 });
    const { engine } = two;
    const before = engine.stats().threadWork;
    assert.ok(usesThreads(engine, () => runLayer(engine, layer)));
    const work = engine.stats().threadWork.map((done, t) => done - before[t]!);
    assert.ok(Math.min(...work) > Math.max(...work) / 2, `work of the threads: ${work}`);
  });
}

const sizes: fc.Arbitrary<LinearSizes> = fc.record({
  leading: size(12).map((m) => [m]),
  n: size(40),
  k: size(70),
  r: fc.option(fc.integer({ min: 1, max: 20 })),
  bias: fc.boolean(),
  scale: fc.constantFrom(1, 0.3),
  p: fc.constantFrom(0, 0.5),
  seed,
});

test("a branch whose B is zero gives the bits of the plain layer, and x the same gradient", () => {
  fc.assert(
    fc.property(
      sizes,
      fc.constantFrom<Weight>("trained", "rows", "panels", "both"),
      (sizes, weight) => {
        const layer = layerOf({ ...sizes, r: sizes.r ?? 7 });
        const { a, b, ...plain } = layer.parts;
        const branch = { ...layer, parts: { ...plain, a: a!, b: array(b!.shape) } };
        for (const { name, engine } of all) {
          const got = runLayer(engine, branch, { weight });
          const expected = runLayer(engine, { ...layer, parts: plain }, { weight });
          expectSameRun(got, expected, `with B = 0, ${name}`);
          assert.ok(
            got.gradients["a"]!.every((value) => value === 0),
            "nothing reaches A through B = 0",
          );
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("a frozen weight in panels, one in rows and one that trains give the same bits", () => {
  fc.assert(
    fc.property(sizes, fc.boolean(), (sizes, fresh) => {
      const layer = layerOf(sizes);
      for (const { name, engine } of all) {
        const trained = runLayer(engine, layer, { weight: "trained", fresh });
        const { w: _, ...gradients } = trained.gradients;
        for (const weight of ["rows", "panels", "both"] as const) {
          const got = runLayer(engine, layer, { weight, fresh });
          expectSameRun(got, { y: trained.y, gradients }, `${weight}, ${name}`);
        }
      }
    }),
    { numRuns: 40 },
  );
});

// Rows begin … end − 1 of a layer's x and dy.
function rowsOf(layer: Layer, begin: number, end: number): Layer {
  const cut = (part: Layer["dy"]) => {
    const width = part.shape[1]!;
    return array([end - begin, width], part.data.slice(begin * width, end * width));
  };
  return { ...layer, parts: { ...layer.parts, x: cut(layer.parts.x!) }, dy: cut(layer.dy) };
}

test("one to five rows alone have the bits that they have in a batch, and so have their gradients", () => {
  const shape = { leading: [23], r: 6, bias: true, scale: 2, p: 0 };
  // Widths at the edges of panels and of the products of one row, two and three; sums of one block and of several.
  for (const [n, k] of [
    [1, 1],
    [7, 9],
    [16, 33],
    [33, 16],
    [40, 600],
    [600, 40],
    [75, 5],
  ] as const) {
    const layer = layerOf({ ...shape, n, k, seed: n });
    for (const { name, engine } of all) {
      for (const weight of ["rows", "panels", "both"] as const) {
        const whole = runLayer(engine, layer, { weight });
        for (const count of [1, 2, 3, 4, 5]) {
          const begin = (count * 5) % 19;
          const end = begin + count;
          const got = runLayer(engine, rowsOf(layer, begin, end), { weight });
          const what = `rows ${begin} to ${end}, ${weight}, ${name}`;
          expectSame(got.y, whole.y.slice(begin * n, end * n), { what: `y, ${what}` });
          const dx = whole.gradients["x"]!.slice(begin * k, end * k);
          expectSame(got.gradients["x"]!, dx, { what: `dx, ${what}` });
        }
      }
    }
  }
});

test("leading axes are rows: any grouping gives the same bits", () => {
  const flat = layerOf({ ...medium, leading: [24], p: 0.5 });
  for (const { name, engine } of all) {
    const expected = runLayer(engine, flat);
    for (const leading of [
      [1, 24],
      [4, 6],
      [2, 3, 4],
      [2, 1, 2, 2, 3],
    ]) {
      const x = array([...leading, medium.k], flat.parts.x!.data);
      const dy = array([...leading, medium.n], flat.dy.data);
      const got = runLayer(engine, { ...flat, parts: { ...flat.parts, x }, dy });
      expectSameRun(got, expected, `${leading}, ${name}`);
    }
  }
});

test("with or without gradients to come, in a scope or outside, y has the same bits", () => {
  const layer = layerOf({ ...medium, p: 0 });
  for (const { name, engine } of all) {
    const expected = runLayer(engine, layer);
    engine.run(() => {
      const [x, w, bias, a, b] = (["x", "w", "bias", "a", "b"] as const).map((part) => {
        const { shape, data } = layer.parts[part]!;
        return tensor(Float32Array.from(data), { shape });
      });
      const branch = { a: a!, b: b!, scale: layer.scale };
      const before = engine.stats().persistentBytes;
      const outside = linear(x!, w!, bias!, branch);
      expectSame(outside.toArray(), expected.y, { what: `outside of scopes, ${name}` });
      outside.dispose();
      assert.is(engine.stats().persistentBytes, before);
      const inside = scope(() => linear(x!, w!, bias!, branch).toArray());
      expectSame(inside, expected.y, { what: `in a scope, ${name}` });
      for (const t of [x, w, bias, a, b]) t!.dispose();
    });
  }
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
