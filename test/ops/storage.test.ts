// Weights stored in 16 bits: widening at use gives the bits of widening at load, in every op that reads a weight, whatever
// the shape, and the numbers themselves come back as they were.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "../../src/io/half.ts";
import { tensor } from "../../src/tensor/create.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { manualSeed, normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { type HalfType, storedBits, storedWeight } from "../../src/tensor/stored.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, uniform } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const types: readonly HalfType[] = ["float16", "bfloat16"];
const widened = { float16: float16ToFloat32, bfloat16: bfloat16ToFloat32 };
const narrowed = { float16: float32ToFloat16, bfloat16: float32ToBfloat16 };
const bitsOf = (values: ArrayLike<number>): Uint32Array =>
  new Uint32Array(Float32Array.from(values).buffer);

/** Numbers of 16 bits around 1, a tenth of them tiny: of float16 subnormal. */
function weightBits(type: HalfType, n: number, k: number, start: number): Uint16Array {
  const next = uniform(start);
  const values = fill([n, k], start).map((x) => (next() < 0.1 ? x * 2 ** -20 : x));
  return narrowed[type](Float32Array.from(values));
}

const stored = (type: HalfType, shape: readonly number[], bits: Uint16Array): Tensor =>
  storedWeight(shape, type, (out, first) => {
    const at = first * (shape[1] ?? 0);
    out.set(bits.subarray(at, at + out.length));
  });

const wide = (type: HalfType, shape: readonly number[], bits: Uint16Array): Tensor => {
  const w = tensor(widened[type](bits), { shape: [...shape], persistent: true });
  w.pack();
  return w;
};

/** Runs a body with either form of a weight; what it gives must be the same to the bit. */
function expectAlike(
  type: HalfType,
  [n, k]: readonly [number, number],
  start: number,
  body: (w: Tensor) => ArrayLike<number>[],
): void {
  const bits = weightBits(type, n, k, start);
  const [got, expected] = [stored, wide].map((make) => {
    const w = make(type, [n, k], bits);
    manualSeed(start);
    const seen = body(w);
    w.dispose();
    return seen;
  });
  assert.is(got!.length, expected!.length);
  for (const [i, values] of got!.entries()) expectSame(values, expected![i]!, { what: `${i}` });
}

for (const type of types) {
  test(`every ${type} is widened exactly, and comes back: subnormals, infinities and the payloads of NaN`, () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    for (const { engine } of all) {
      engine.run(() => {
        // Whole panels, and the lanes of a last one.
        for (const shape of [
          [256, 256],
          [8, 8192],
          [3, 21845],
        ] as const) {
          const some = bits.subarray(0, shape[0] * shape[1]);
          const w = stored(type, shape, some);
          const expected = new Uint32Array(widened[type](some).buffer);
          assert.is(w.storage, type);
          assert.equal(new Uint32Array((w.toArray() as Float32Array).buffer), expected);
          assert.equal(storedBits(w), some);
          w.unpack();
          assert.is(w.storage, "float32");
          assert.equal(new Uint32Array((w.toArray() as Float32Array).buffer), expected);
          w.dispose();
        }
      });
    }
  });

  for (const { name, engine } of all) {
    test(`linear and its gradients have the bits of the widened weight (${type}, ${name})`, () => {
      fc.assert(
        fc.property(
          fc.record({
            m: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 140 })),
            n: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 600 })),
            k: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 250, max: 1100 })),
            r: fc.constantFrom(0, 1, 8),
            dropout: fc.constantFrom(0, 0.3),
            seed,
          }),
          ({ m, n, k, r, dropout, seed: start }) => {
            engine.run(() =>
              expectAlike(type, [n, k], start, (w) => {
                const make = (...shape: number[]): Tensor =>
                  normal(shape, { seed: start, persistent: true, requiresGrad: true });
                const [x, bias] = [make(m, k), make(n)];
                const branch =
                  r === 0 ? null : { a: make(r, k), b: make(n, r), scale: 0.5, dropout };
                const leaves = [x, bias, ...(branch === null ? [] : [branch.a, branch.b])];
                const y = scope(() => {
                  const out = linear(x, w, bias, branch);
                  out.mul(out).sum().backward();
                  return out.toArray();
                });
                const seen = [y, ...leaves.map((leaf) => leaf.grad!)];
                for (const leaf of leaves) leaf.dispose();
                return seen;
              }),
            );
          },
        ),
        { numRuns: 25 },
      );
    });

    test(`a table and a tied head have the bits of the widened weight (${type}, ${name})`, () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 150 }),
          fc.integer({ min: 1, max: 70 }),
          fc.integer({ min: 1, max: 300 }),
          seed,
          (v, k, rows, start) => {
            engine.run(() =>
              expectAlike(type, [v, k], start, (w) => {
                const next = uniform(start);
                const draw = (): number[] =>
                  Array.from({ length: rows }, () => Math.floor(next() * v));
                const gain = normal([k], { seed: start, persistent: true, requiresGrad: true });
                const loss = scope(() => {
                  const ids = tensor(draw(), { dtype: "int32" });
                  const targets = tensor(draw(), { dtype: "int32" });
                  const x = embedding(ids, w);
                  const one = linearCrossEntropy(x.mul(gain), w, targets);
                  one.backward();
                  return [one.toArray(), x.toArray()];
                });
                const seen = [...loss, gain.grad!];
                gain.dispose();
                return seen;
              }),
            );
          },
        ),
        { numRuns: 15 },
      );
    });
  }

  test(`infinities and NaN of a ${type} reach the outputs that they reach when widened at load`, () => {
    const bits = weightBits(type, 40, 24, 3);
    bits.set(narrowed[type](Float32Array.of(Number.POSITIVE_INFINITY, Number.NaN)), 100);
    for (const { engine } of all) {
      engine.run(() => {
        for (const m of [1, 2, 9]) {
          const [got, expected] = [stored, wide].map((make) => {
            const w = make(type, [40, 24], bits);
            const y = scope(() => linear(normal([m, 24], { seed: m }), w).toArray());
            w.dispose();
            return y;
          });
          assert.ok(expected!.some((y) => Number.isNaN(y)));
          expectSame(got!, expected!);
        }
      });
    }
  });
}

const { engine } = all[0]!;

test("a stored weight takes two bytes an element, and at most a block's lines more", () => {
  engine.run(() => {
    for (const shape of [
      [7, 33],
      [300, 129],
      [1000, 64],
    ] as const) {
      const bytes = 2 * shape[0] * shape[1];
      const before = engine.stats().persistentBytes;
      const w = storedWeight(shape, "float16", (bits) => bits.fill(0));
      // The record, of three lines at most, and lines that the block does not fill.
      const more = engine.stats().persistentBytes - before - bytes;
      assert.ok(more > 0 && more <= 5 * 64 + 128, `${more}`);
      w.dispose();
      assert.is(engine.stats().persistentBytes, before);
    }
  });
});

test("rows are asked for in order, in pieces that the engine need not hold at once", () => {
  engine.run(() => {
    const seen: number[] = [];
    const w = storedWeight([5000, 300], "bfloat16", (bits, first) => {
      assert.is(bits.length % 300, 0);
      seen.push(first, first + bits.length / 300);
      bits.fill(first);
    });
    assert.ok(seen.length > 2);
    assert.is(seen[0], 0);
    assert.is(seen.at(-1), 5000);
    for (let i = 1; i + 1 < seen.length; i += 2) assert.is(seen[i], seen[i + 1]);
    w.dispose();
  });
});

test("what cannot be is refused: other shapes, writing float32, a second packed form; training widens", () => {
  engine.run(() => {
    assert.throws(
      () => storedWeight([3], "float16", () => {}),
      (e: Error) => e instanceof ShapeError,
    );
    const w = storedWeight([3, 2], "float16", (bits) => bits.set([0x3c00, 0, 1, 2, 3, 0xc000]));
    const refused = (pattern: RegExp) => (e: Error) =>
      e instanceof UsageError && pattern.test(e.message);
    assert.throws(() => w.set([1, 2, 3, 4, 5, 6]), refused(/stored as float16.*unpack\(\)/));
    assert.throws(() => w.pack({ prepack: "both" }), refused(/prepack: "forward"/));
    w.pack();
    w.pack({ prepack: "forward" });
    assert.is(w.storage, "float16");
    w.requiresGrad = true;
    assert.is(w.storage, "float32");
    assert.equal(bitsOf(w.toArray()), bitsOf([1, 0, 2 ** -24, 2 ** -23, 3 * 2 ** -24, -2]));
    assert.throws(() => storedBits(w), refused(/no 16-bit form/));
    w.dispose();
  });
});

test("when reading the rows fails, nothing of the weight is left", () => {
  engine.run(() => {
    const before = engine.stats().persistentBytes;
    const fails = (): void => {
      throw new Error("the file ends");
    };
    assert.throws(() => storedWeight([64, 64], "float16", fails), /the file ends/);
    assert.is(engine.stats().persistentBytes, before);
  });
});

test.run();
