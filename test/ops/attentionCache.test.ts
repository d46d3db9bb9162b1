import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { type LowrankError, ShapeError, UsageError } from "../../src/core/error.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import { attention, writeCache } from "../../src/tensor/attention.ts";
import { full, tensor, zeros } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, segmentStarts } from "../support/arbitraries.ts";
import { attentionBounds } from "../support/attentionBounds.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { type Differentiated, differentiate } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();

interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly G: number;
  readonly group: number;
  readonly D: number;
}

const sizes: fc.Arbitrary<Sizes> = fc.record({
  B: fc.integer({ min: 1, max: 3 }),
  T: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(63, 64, 65, 128, 129)),
  G: fc.integer({ min: 1, max: 2 }),
  group: fc.constantFrom(1, 2, 3, 4, 5),
  D: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(8, 16, 32, 64)),
});

function draw({ B, T, G, group, D }: Sizes, seed: number) {
  const queries = [B, T, G * group, D];
  const keys = [B, T, G, D];
  return {
    q: array(queries, fill(queries, seed)),
    k: array(keys, fill(keys, seed + 1)),
    v: array(keys, fill(keys, seed + 2)),
    dy: array(queries, fill(queries, seed + 3)),
  };
}

const isA = (kind: typeof LowrankError) => (error: Error) => error instanceof kind;

/** Tokens start .. end − 1 of every sequence. */
function tokens({ shape, data }: Arr, start: number, end: number): Arr {
  const [B = 0, T = 0, ...rest] = shape;
  const width = data.length / (B * T);
  const cut = array([B, end - start, ...rest]);
  for (let b = 0; b < B; b++) {
    const part = data.subarray((b * T + start) * width, (b * T + end) * width);
    cut.data.set(part, b * (end - start) * width);
  }
  return cut;
}

function sequence({ shape, data }: Arr, b: number): Arr {
  const size = data.length / (shape[0] ?? 1);
  return array([1, ...shape.slice(1)], data.subarray(b * size, (b + 1) * size));
}

function tensorOf(x: Arr): Tensor {
  return tensor(Float32Array.from(x.data), { shape: x.shape });
}

/** Gradients through attention alone, `starts` given or not. */
function gradientsOf(
  engine: Engine,
  { q, k, v, dy }: ReturnType<typeof draw>,
  starts?: Arr,
): Differentiated<string> {
  const operands = { q, k, v, starts: { ...(starts ?? dy), dtype: "int32" as const } };
  return differentiate(
    engine,
    operands,
    (t) => attention(t.q, t.k, t.v, starts === undefined ? {} : { starts: t.starts }),
    dy.data,
  );
}

for (const { name, engine } of all) {
  test(`decoding token by token with a cache gives the rows of the whole, bit for bit (${name})`, () => {
    const spares = fc.integer({ min: 0, max: 9 });
    fc.assert(
      fc.property(sizes, spares, fc.boolean(), seed, (sizes, spare, segmented, seed) => {
        const { B, T, G, D } = sizes;
        const { q, k, v } = draw(sizes, seed);
        const starts = array([B, T], segmented ? segmentStarts(B, T, seed, 0.05) : undefined);
        const startsOf = (start: number, end: number) => {
          const values = Int32Array.from(tokens(starts, start, end).data);
          return segmented ? { starts: tensor(values, { shape: [B, end - start] }) } : {};
        };
        engine.run(() => {
          const whole = scope(() => {
            const y = attention(tensorOf(q), tensorOf(k), tensorOf(v), startsOf(0, T));
            return array(q.shape, y.toArray());
          });
          // What no token has written yet must not matter.
          const room = [B, T + spare, G, D];
          const keys = full(room, Number.NaN, { persistent: true });
          const values = full(room, Number.POSITIVE_INFINITY, { persistent: true });
          for (let t = 0; t < T; ) {
            // Mostly one token at a time, now and then a few.
            const [start, end] = [t, Math.min(T, t % 11 === 10 ? t + 5 : t + 1)];
            noGrad(() =>
              scope(() => {
                writeCache(keys, tensorOf(tokens(k, start, end)), start);
                writeCache(values, tensorOf(tokens(v, start, end)), start);
                const options = { offset: start, length: end, ...startsOf(start, end) };
                const y = attention(tensorOf(tokens(q, start, end)), keys, values, options);
                const what = `tokens ${start} to ${end - 1}, ${name}`;
                expectSame(y.toArray(), tokens(whole, start, end).data, { what, shape: y.shape });
              }),
            );
            t = end;
          }
          keys.dispose();
          values.dispose();
        });
      }),
      { numRuns: 12 },
    );
  });

  test(`one sequence of a batch gives the bits that it gives alone, gradients too (${name})`, () => {
    fc.assert(
      fc.property(sizes, seed, (sizes, seed) => {
        const drawn = draw(sizes, seed);
        const together = gradientsOf(engine, drawn);
        for (let b = 0; b < sizes.B; b++) {
          const one = {
            q: sequence(drawn.q, b),
            k: sequence(drawn.k, b),
            v: sequence(drawn.v, b),
            dy: sequence(drawn.dy, b),
          };
          const alone = gradientsOf(engine, one);
          const part = (x: Float32Array, like: Arr) => sequence(array(like.shape, x), b).data;
          expectSame(part(together.y, drawn.q), alone.y, { what: "y" });
          for (const n of ["q", "k", "v"] as const) {
            expectSame(part(together.gradients[n]!, drawn[n]), alone.gradients[n]!, {
              what: `d${n}, ${name}`,
            });
          }
        }
      }),
      { numRuns: 8 },
    );
  });

  test(`a token of each of many sequences, whose keys are fetched ahead, has the bits that it has alone (${name})`, () => {
    engine.run(() => {
      // 283 to 304 KB of keys and values, up to the last place of the caches, and lengths about a multiple of sixteen.
      for (const [T, G, D] of [
        [40, 4, 12],
        [33, 3, 20],
        [49, 3, 13],
      ] as const) {
        const B = 19;
        const { k, v } = draw({ B, T, G, group: 1, D }, T);
        const { q } = draw({ B, T: 1, G, group: 1, D }, T + 3);
        const tokenOf = (q: Arr, k: Arr, v: Arr): ArrayLike<number> =>
          scope(() => noGrad(() => attention(tensorOf(q), tensorOf(k), tensorOf(v)).toArray()));
        const together = Float32Array.from(tokenOf(q, k, v));
        for (let b = 0; b < B; b++) {
          const alone = tokenOf(sequence(q, b), sequence(k, b), sequence(v, b));
          expectSame(together.subarray(b * G * D, (b + 1) * G * D), alone, { what: `row ${b}` });
        }
      }
    });
  });

  test(`documents packed into one row give what each gives alone, gradients too (${name})`, () => {
    fc.assert(
      fc.property(sizes, fc.nat(128), seed, (sizes, cut, seed) => {
        const { T } = sizes;
        const border = cut % T;
        const drawn = draw({ ...sizes, B: 1 }, seed);
        const starts = array(
          [1, T],
          Float64Array.from({ length: T }, (_, t) => (t < border ? 0 : border)),
        );
        const scale = 1 / Math.sqrt(sizes.D);
        const packed = gradientsOf(engine, drawn, starts);
        const bounds = attentionBounds({ ...drawn, scale, offset: 0, starts });
        for (const [start, end] of [[0, border] as const, [border, T] as const]) {
          if (start === end) continue;
          const cutTo = (x: Arr) => tokens(x, start, end);
          const document = {
            q: cutTo(drawn.q),
            k: cutTo(drawn.k),
            v: cutTo(drawn.v),
            dy: cutTo(drawn.dy),
          };
          const alone = gradientsOf(engine, document);
          const part = (x: ArrayLike<number>, like: Arr) => cutTo(array(like.shape, x)).data;
          // Both are within the bound of the float64 result.
          const twice = (bound: Float64Array, like: Arr) => part(bound, like).map((x) => 2 * x);
          expectClose(part(packed.y, drawn.q), alone.y, twice(bounds.y, drawn.q), { what: "y" });
          const gradients = { q: bounds.dq, k: bounds.dk, v: bounds.dv };
          for (const n of ["q", "k", "v"] as const) {
            const tolerance = twice(gradients[n], drawn[n]);
            const what = `d${n}, ${name}`;
            expectClose(part(packed.gradients[n]!, drawn[n]), alone.gradients[n]!, tolerance, {
              what,
            });
          }
        }
      }),
      { numRuns: 8 },
    );
  });
}

test("twice the tokens take less than 2.2 times the memory, forward and backward", async () => {
  for (const deterministic of [true, false]) {
    const bytes: number[] = [];
    for (const T of [1024, 2048]) {
      const engine = await Engine.create({ deterministic, threads: 1 });
      const shape = [1, T, 2, 16];
      const values = Float32Array.from(fill(shape, 7));
      engine.run(() =>
        scope(() => {
          const [q, k, v] = [1, 2, 3].map(() => tensor(values, { shape, requiresGrad: true }));
          attention(q!, k!, v!).sum().backward();
        }),
      );
      const { arenaPeak, scratchBytes } = engine.stats();
      bytes.push(arenaPeak + scratchBytes);
      // Three operands, the result, their gradients, and little else: T² numbers alone would be more.
      assert.ok(arenaPeak < 10 * 4 * values.length, `${arenaPeak} bytes`);
    }
    assert.ok(bytes[1]! < 2.2 * bytes[0]!, `${bytes[1]} bytes against ${bytes[0]}`);
  }
});

test("a cache takes rows at their place and nothing else changes", () => {
  for (const { engine } of all) {
    engine.run(() => {
      const cache = full([2, 5, 2, 3], 9, { persistent: true });
      const rows = fill([2, 2, 2, 3], 3);
      writeCache(cache, tensor(Float32Array.from(rows), { shape: [2, 2, 2, 3] }), 1);
      const expected = new Float64Array(60).fill(9);
      expected.set(rows.subarray(0, 12), 6);
      expected.set(rows.subarray(12), 36);
      expectSame(cache.toArray(), expected);
      cache.dispose();
    });
  }
});

test("rows that do not fit into a cache are refused by shape, a cache that is no plain persistent tensor by kind", () => {
  const [first, second] = [all[0]!.engine, all[1]!.engine];
  const foreign = second.run(() => zeros([2, 1, 2, 3]));
  first.run(() => {
    const cache = zeros([2, 5, 2, 3]);
    for (const [shape, offset] of [
      [[2, 2, 2, 3], 4],
      [[2, 2, 2, 3], -1],
      [[2, 2, 2, 3], 0.5],
      [[1, 2, 2, 3], 0],
      [[2, 2, 3, 3], 0],
      [[2, 2, 2, 4], 0],
      [[2, 2, 6], 0],
    ] as const) {
      const rows = zeros(shape);
      assert.throws(
        () => writeCache(cache, rows, offset),
        (error: Error) =>
          error instanceof ShapeError &&
          error.message.includes(`[${shape}]`) &&
          error.message.includes("[2,5,2,3]"),
      );
      rows.dispose();
    }
    const ids = zeros([2, 1, 2, 3], { dtype: "int32" });
    assert.throws(() => writeCache(cache, ids, 0), isA(ShapeError));
    assert.throws(() => writeCache(cache, foreign, 0), isA(UsageError));
    const trained = zeros([2, 5, 2, 3], { requiresGrad: true });
    scope(() => {
      const rows = zeros([2, 1, 2, 3]);
      assert.throws(() => writeCache(trained, rows, 0), isA(UsageError));
      assert.throws(() => writeCache(zeros([2, 5, 2, 3]), rows, 0), isA(UsageError));
      const learning = zeros([2, 1, 2, 3], { requiresGrad: true });
      assert.throws(() => writeCache(cache, learning.mul(2), 0), /noGrad/);
      writeCache(
        cache,
        noGrad(() => learning.mul(2)),
        0,
      );
    });
    for (const t of [cache, ids, trained]) t.dispose();
  });
  foreign.dispose();
});

test.run();
