import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/attention.ts";
import { attention } from "../../src/tensor/attention.ts";
import { zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, segmentStarts } from "../support/arbitraries.ts";
import { attentionBounds } from "../support/attentionBounds.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();

interface Drawn {
  readonly B: number;
  readonly Tq: number;
  readonly past: number;
  readonly spare: number;
  readonly G: number;
  readonly group: number;
  readonly D: number;
  readonly scale: number | undefined;
  readonly segmented: boolean;
  readonly fresh: boolean;
  readonly seed: number;
}

// Blocks are 64 keys and 64 rows, panels 8 and 4.
const lengths = fc.oneof(
  fc.integer({ min: 1, max: 70 }),
  fc.constantFrom(1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 127, 128, 129),
);

const cases: fc.Arbitrary<Drawn> = fc.record({
  B: fc.integer({ min: 1, max: 2 }),
  Tq: lengths,
  past: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 70 })),
  spare: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9 })),
  G: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 3 }),
  D: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(8, 16, 32)),
  scale: fc.constantFrom(undefined, 1, 0.3, -0.5),
  segmented: fc.boolean(),
  fresh: fc.boolean(),
  seed,
});

function draw({ B, Tq, past, spare, G, group, D, scale, segmented, seed }: Drawn) {
  const queries = [B, Tq, G * group, D];
  const keys = [B, past + Tq + spare, G, D];
  const starts = segmented
    ? segmentStarts(B, Tq, seed + 4, 0.05).map((start) => start + (start > 0 ? past : 0))
    : new Float64Array(B * Tq);
  return {
    q: array(queries, fill(queries, seed)),
    k: array(keys, fill(keys, seed + 1)),
    v: array(keys, fill(keys, seed + 2)),
    dy: array(queries, fill(queries, seed + 3)),
    starts: array([B, Tq], starts),
    scale: scale ?? 1 / Math.sqrt(D),
    offset: past,
  };
}

test("attention and its gradients are the reference's, in every build, and two threads give the bits of one", () => {
  fc.assert(
    fc.property(cases, (drawn) => {
      const { q, k, v, dy, starts, scale, offset } = draw(drawn);
      const options = { scale, offset, starts };
      const y = reference.attention(q, k, v, options);
      const { dq, dk, dv } = reference.attentionBackward(dy, q, k, v, options);
      const bounds = attentionBounds({ q, k, v, dy, scale, offset, starts });
      const outcomes = all.map(({ name, engine }) => {
        const operands = { q, k, v, starts: { ...starts, dtype: "int32" as const } };
        const got = differentiate(
          engine,
          operands,
          (t) => {
            const chosen = drawn.segmented ? { starts: t.starts } : {};
            const scaled = drawn.scale === undefined ? {} : { scale };
            return attention(t.q, t.k, t.v, {
              ...chosen,
              ...scaled,
              offset,
              length: offset + drawn.Tq,
            });
          },
          dy.data,
          drawn.fresh,
        );
        expectClose(got.y, y.data, bounds.y, { what: `y, ${name}`, shape: q.shape });
        expectClose(got.gradients.q!, dq.data, bounds.dq, { what: `dq, ${name}`, shape: q.shape });
        expectClose(got.gradients.k!, dk.data, bounds.dk, { what: `dk, ${name}`, shape: k.shape });
        expectClose(got.gradients.v!, dv.data, bounds.dv, { what: `dv, ${name}`, shape: k.shape });
        return got;
      });
      for (const [one, two] of [
        [outcomes[0]!, outcomes[1]!],
        [outcomes[2]!, outcomes[3]!],
      ] as const) {
        expectSame(two.y, one.y, { what: "y with two threads" });
        for (const name of ["q", "k", "v"] as const) {
          expectSame(two.gradients[name]!, one.gradients[name]!, { what: `d${name}, two threads` });
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("a gradient is the same whether or not the other operands want one", () => {
  const [B, T, H, G, D] = [2, 70, 4, 2, 12];
  const of = (heads: number, seed: number) => {
    const shape = [B, T, heads, D];
    return { shape, data: fill(shape, seed) };
  };
  const [q, k, v] = [of(H, 1), of(G, 2), of(G, 3)];
  const dy = fill([B, T, H, D], 4);
  const names = ["q", "k", "v"] as const;
  for (const { name, engine } of all) {
    const run = (wanted: readonly string[]) => {
      const operands = { q, k, v };
      const chosen = Object.fromEntries(
        names.map((n) => [n, { ...operands[n], grad: wanted.includes(n) }]),
      );
      return differentiate(engine, chosen, (t) => attention(t["q"]!, t["k"]!, t["v"]!), dy);
    };
    const whole = run(names);
    for (const wanted of [["q"], ["k"], ["v"], ["q", "v"], ["k", "v"], ["q", "k"]]) {
      const part = run(wanted);
      for (const n of names) {
        const what = `d${n} of ${wanted}, ${name}`;
        if (wanted.includes(n)) expectSame(part.gradients[n]!, whole.gradients[n]!, { what });
        else assert.is(part.gradients[n], null, what);
      }
    }
  }
});

test("one tensor may be queries, keys and values, also in views of different shapes: its gradient is the sum", () => {
  const [B, T, D] = [1, 100, 8];
  const x = { shape: [B, T, 4, D], data: fill([B, T, 4, D], 1) };
  const y = fill([B, T, 4, D], 2);
  // As keys and values, x is 2T keys of 2 heads; the queries stand among the last T of them.
  const keys = { shape: [B, 2 * T, 2, D], data: x.data };
  const results = all.map(({ name, engine }) => {
    const apart = differentiate(
      engine,
      { q: x, k: keys, v: keys },
      (t) => attention(t.q, t.k, t.v),
      y,
    );
    const together = differentiate(
      engine,
      { x },
      (t) => attention(t.x, t.x.reshape(keys.shape), t.x.reshape(keys.shape)),
      y,
    );
    expectSame(together.y, apart.y, { what: `y, ${name}` });
    const { q, k, v } = apart.gradients;
    const sum = q!.map((dq, i) => dq + k![i]! + v![i]!);
    // Two sums of three numbers, in whatever order.
    const most = q!.map((dq, i) => Math.abs(dq) + Math.abs(k![i]!) + Math.abs(v![i]!));
    const tolerance = most.map((m) => 4 * m * 2 ** -24);
    expectClose(together.gradients.x!, sum, tolerance, { what: `dx, ${name}` });
    return together.gradients.x!;
  });
  expectSame(results[1]!, results[0]!, { what: "dx with two threads, baseline" });
  expectSame(results[3]!, results[2]!, { what: "dx with two threads, relaxed" });
});

test("attention that is worth it runs on two threads, and few heads share their rows", () => {
  for (const heads of [1, 8]) {
    const shape = [1, 128, heads, 32];
    const x = { shape, data: fill(shape, 5) };
    for (const { name, engine } of all.filter(({ engine }) => engine.threads === 2)) {
      const operands = {
        q: { ...x, grad: false },
        k: { ...x, grad: false },
        v: { ...x, grad: false },
      };
      const before = engine.stats().threadWork;
      const forward = () =>
        differentiate(engine, operands, (t) => attention(t.q, t.k, t.v), x.data);
      assert.ok(usesThreads(engine, forward), name);
      const after = engine.stats().threadWork;
      assert.ok(after[0]! > before[0]! && after[1]! > before[1]!, `${name}: both threads worked`);
    }
  }
});

test("shapes that do not fit are refused, and the message names all of them", () => {
  const engine = all[0]!.engine;
  engine.run(() =>
    scope(() => {
      const q = zeros([2, 3, 4, 5]);
      const k = zeros([2, 3, 2, 5]);
      const ids = (shape: number[]) => zeros(shape, { dtype: "int32" });
      const refused: [() => unknown, string][] = [
        [() => attention(zeros([2, 3, 20]), k, k), "q has 3 axes"],
        [() => attention(q, zeros([2, 3, 3, 5]), zeros([2, 3, 3, 5])), "4 query heads"],
        [() => attention(q, zeros([2, 3, 0, 5]), zeros([2, 3, 0, 5])), "4 query heads"],
        [() => attention(q, k, zeros([2, 3, 2, 4])), "k and v differ"],
        [() => attention(q, zeros([1, 3, 2, 5]), zeros([1, 3, 2, 5])), "differ in B or D"],
        [() => attention(q, zeros([2, 3, 2, 6]), zeros([2, 3, 2, 6])), "differ in B or D"],
        [() => attention(q, ids([2, 3, 2, 5]), k), "k is int32"],
        [() => attention(q, k, k, { starts: ids([2, 4]) }), "starts must be int32 [2, 3]"],
        [() => attention(q, k, k, { starts: zeros([2, 3]) }), "starts must be int32 [2, 3]"],
        [() => attention(q, k, k, { offset: 1 }), "from position 1"],
        [() => attention(q, k, k, { offset: -1 }), "from position -1"],
        [() => attention(q, k, k, { length: 4 }), "length is 4"],
        [() => attention(q, k, k, { length: 2 }), "from position -1"],
      ];
      for (const [run, why] of refused) {
        assert.throws(run, (error: unknown) => {
          assert.instance(error, ShapeError);
          assert.match((error as ShapeError).message, why);
          assert.match((error as ShapeError).message, /q \[2,3,.*\], k \[.*\], v \[/);
          return true;
        });
      }
    }),
  );
});

test("attention of no sequences, no queries or no features is empty", () => {
  const shapes: [q: number[], k: number[]][] = [
    [
      [0, 3, 2, 4],
      [0, 3, 2, 4],
    ],
    [
      [2, 0, 2, 4],
      [2, 5, 1, 4],
    ],
    [
      [2, 3, 2, 0],
      [2, 3, 1, 0],
    ],
    [
      [2, 3, 0, 4],
      [2, 3, 0, 4],
    ],
  ];
  for (const [q, k] of shapes) {
    const operands = {
      q: { shape: q, data: [] },
      k: { shape: k, data: new Float64Array(k.reduce((size, n) => size * n, 1)).fill(1) },
    };
    for (const { engine } of all) {
      const got = differentiate(engine, operands, (t) => attention(t.q, t.k, t.k), []);
      assert.is(got.y.length, 0);
    }
  }
});

test.run();
