// The random generator: the published values of Philox4x32-10, that element i depends on nothing but its index,
// moments within what chance allows, and that the TypeScript generator draws the same words as the engine.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { Generator, philox } from "../../src/core/random.ts";
import { expectSameBits } from "./gemm-harness.ts";
import { Base, type Build, baseline, builds, relaxed } from "./math-harness.ts";

const word = fc.nat({ max: 0xffffffff });

function engineWords({ kernels, memory }: Build, counter: number[], key: number[]): Uint32Array {
  kernels.philox(Base, ...key, ...counter);
  return new Uint32Array(memory.buffer, Base, 4).slice();
}

// The known-answer file of Random123 (github.com/DEShawResearch/random123, tests/kat_vectors).
const Ones = 0xffffffff;
const known: [counter: number[], key: number[], words: number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [Ones, Ones, Ones, Ones],
    [Ones, Ones],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

test("Philox gives the published words, in both builds and in TypeScript", () => {
  for (const [counter, key, words] of known) {
    for (const build of builds) assert.equal([...engineWords(build, counter, key)], words);
    assert.equal([...philox(counter, key)], words);
  }
});

test("TypeScript's Philox has the engine's words for every counter and key", () => {
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
      assert.equal(philox(counter, key), engineWords(baseline, counter, key));
    }),
    { numRuns: 2000 },
  );
});

const Guard = 7.5e33;

/** Runs a fill of `count` elements and returns them; throws if the words around them have changed. */
function fill(
  { kernels, memory }: Build,
  kernel: "fillUniform" | "fillNormal",
  count: number,
  offset: number,
  { seed = 1, stream = 0, first = 0, second = 1 } = {},
): Float32Array {
  const around = new Float32Array(memory.buffer, Base, count + 8).fill(Guard);
  kernels[kernel](Base + 16, count, seed, 0, stream, offset, first, second);
  for (const i of [0, 1, 2, 3, 4, 5, 6, 7]) {
    assert.is(around[i < 4 ? i : count + i], Math.fround(Guard), "a fill wrote outside its array");
  }
  return around.slice(4, 4 + count);
}

for (const kernel of ["fillUniform", "fillNormal"] as const) {
  test(`${kernel}: any part of a stream has the values of the whole`, () => {
    const whole = fill(baseline, kernel, 400, 0, { seed: 5, stream: 9 });
    fc.assert(
      fc.property(fc.nat({ max: 300 }), fc.nat({ max: 100 }), (offset, count) => {
        const part = fill(baseline, kernel, count, offset, { seed: 5, stream: 9 });
        expectSameBits(part, whole.slice(offset, offset + count), "the part");
      }),
    );
  });

  test(`${kernel}: both builds have the same bits`, () => {
    const options = { seed: 77, stream: 3, first: -0.3, second: 0.7 };
    expectSameBits(
      fill(relaxed, kernel, 9999, 5, options),
      fill(baseline, kernel, 9999, 5, options),
    );
  });

  test(`${kernel}: the last elements of a stream of 2^32 can be drawn`, () => {
    assert.is(new Set(fill(baseline, kernel, 8, 0xfffffff8)).size, 8);
  });
}

test("uniform elements are the upper 24 bits of the counter's words", () => {
  const values = fill(baseline, "fillUniform", 64, 0, { seed: 12, stream: 34 });
  for (let i = 0; i < 64; i++) {
    const words = philox([Math.floor(i / 4), 0, 34, 0], [12, 0]);
    assert.is(values[i], Math.floor(words[i % 4]! / 256) / 2 ** 24);
  }
});

test("normal elements are Box and Muller's pairs, made of the scalar functions", () => {
  const values = fill(baseline, "fillNormal", 256, 0, { seed: 12, stream: 34 });
  const { cos32, log32, sin32 } = baseline.kernels;
  for (let i = 0; i < 256; i += 2) {
    const words = philox([Math.floor(i / 4), 0, 34, 0], [12, 0]);
    const [u, v] = [words[i % 4]!, words[(i % 4) + 1]!].map((w) => Math.floor(w / 256) / 2 ** 24);
    const radius = Math.fround(Math.sqrt(-2 * log32(1 - u!)));
    const angle = Math.fround(v! * Math.fround(2 * Math.PI));
    assert.is(values[i], Math.fround(radius * cos32(angle)));
    assert.is(values[i + 1], Math.fround(radius * sin32(angle)));
  }
});

// Means over n independent draws lie within 5 standard errors of what is expected (probability 6e-7 of less).
const Draws = 1_000_000;
function expectMean(values: Float32Array, power: number, mean: number, variance: number): void {
  let sum = 0;
  for (const value of values) sum += value ** power;
  const bound = 5 * Math.sqrt(variance / values.length);
  assert.ok(
    Math.abs(sum / values.length - mean) < bound,
    `moment ${power}: ${sum / values.length}`,
  );
}

test("uniform values have the moments of the uniform distribution and stay in [0, 1)", () => {
  const values = fill(baseline, "fillUniform", Draws, 0, { seed: 1, stream: 1 });
  // E u^k = 1/(k + 1), Var u^k = 1/(2k + 1) − 1/(k + 1)².
  for (const k of [1, 2, 3, 4]) expectMean(values, k, 1 / (k + 1), 1 / (2 * k + 1) - (k + 1) ** -2);
  assert.ok(values.every((value) => value >= 0 && value < 1));
});

test("normal values have the moments of the normal distribution and are finite", () => {
  const values = fill(baseline, "fillNormal", Draws, 0, { seed: 1, stream: 2 });
  // E z^k = 0, 1, 0, 3; E z^2k = 1, 3, 15, 105.
  expectMean(values, 1, 0, 1);
  expectMean(values, 2, 1, 3 - 1);
  expectMean(values, 3, 0, 15);
  expectMean(values, 4, 3, 105 - 9);
  // u ≥ 2^-24 in sqrt(−2 ln u).
  const limit = Math.sqrt(48 * Math.LN2) * (1 + 2 ** -22);
  assert.ok(values.every((value) => Math.abs(value) <= limit));
});

test("neighbours, streams and seeds are uncorrelated", () => {
  const a = fill(baseline, "fillNormal", Draws, 0, { seed: 1, stream: 2 });
  const others = [
    fill(baseline, "fillNormal", Draws, 1, { seed: 1, stream: 2 }),
    fill(baseline, "fillNormal", Draws, 4, { seed: 1, stream: 2 }),
    fill(baseline, "fillNormal", Draws, 0, { seed: 1, stream: 3 }),
    fill(baseline, "fillNormal", Draws, 0, { seed: 2, stream: 2 }),
  ];
  // The product of two independent standard normal values has mean 0 and variance 1.
  for (const b of others)
    expectMean(
      a.map((value, i) => value * b[i]!),
      1,
      0,
      1,
    );
});

test("mean and std, low and high move and stretch", () => {
  const z = fill(baseline, "fillNormal", 100, 0);
  const moved = fill(baseline, "fillNormal", 100, 0, { first: 3, second: 0.5 });
  expectSameBits(
    moved,
    z.map((value) => 3 + Math.fround(0.5 * value)),
  );
  const u = fill(baseline, "fillUniform", 100, 0);
  const wide = fill(baseline, "fillUniform", 100, 0, { first: -2, second: 2 });
  expectSameBits(
    wide,
    u.map((value) => -2 + Math.fround(4 * value)),
  );
});

function mask4({ kernels, memory }: Build, block: number, threshold: number, step = 0): number[] {
  kernels.storeDropoutMask4(Base, 3, 4, 5, step, block, threshold);
  return [...new Int32Array(memory.buffer, Base, 4)];
}

function mask16({ kernels, memory }: Build, block: number, threshold: number): number[] {
  kernels.storeDropoutMask16(Base, 3, 4, 5, 0, block, threshold);
  return [...new Int8Array(memory.buffer, Base, 16)];
}

test("sixteen dropout masks at a time are four times four, in both builds", () => {
  const thresholds = fc.integer({ min: -1, max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(word, thresholds, (block, threshold) => {
      for (const build of builds) {
        const single = [0, 1, 2, 3].flatMap((i) => mask4(baseline, (block + i) | 0, threshold));
        assert.equal(mask16(build, block, threshold), single);
      }
    }),
    { numRuns: 300 },
  );
});

test("dropout drops nothing at p = 0, everything at p = 1 and a share of p between, anew at each step", () => {
  const { dropoutThreshold } = baseline.kernels;
  for (const p of [0, 0.05, 0.1, 0.5, 0.9, 1]) {
    const count = 40_000;
    let dropped = 0;
    let changed = 0;
    for (let block = 0; block < count / 4; block++) {
      const now = mask4(baseline, block, dropoutThreshold(p));
      const later = mask4(baseline, block, dropoutThreshold(p), 1);
      dropped += now.filter((lane) => lane === 0).length;
      changed += now.filter((lane, i) => lane !== later[i]).length;
      assert.ok(now.every((lane) => lane === 0 || lane === -1));
    }
    // Five standard errors of a share of p, and of two independent masks differing.
    const differ = 2 * p * (1 - p);
    assert.ok(Math.abs(dropped / count - p) <= 5 * Math.sqrt((p * (1 - p)) / count), `p = ${p}`);
    const spread = 5 * Math.sqrt((differ * (1 - differ)) / count);
    assert.ok(Math.abs(changed / count - differ) <= spread, `p = ${p}: ${changed} changed`);
  }
});

test("a generator draws the words of its counters in order", () => {
  const generator = new Generator(2 ** 40 + 7, 11);
  const words = [0, 1, 2].flatMap((block) => [...philox([block, 0, 11, 2], [7, 2 ** 8])]);
  assert.equal(
    Array.from({ length: 12 }, () => generator.nextUint32()),
    words,
  );
});

test("a generator continued from its state goes on with the same numbers", () => {
  fc.assert(
    fc.property(fc.nat({ max: 50 }), fc.maxSafeNat(), word, (drawn, seed, stream) => {
      const generator = new Generator(seed, stream);
      for (let i = 0; i < drawn; i++) generator.nextUint32();
      const copy = Generator.fromState(JSON.parse(JSON.stringify(generator.state())));
      for (let i = 0; i < 10; i++) assert.is(copy.nextUint32(), generator.nextUint32());
    }),
  );
});

test("positions beyond 2^34 words reach the counter's second word", () => {
  const generator = Generator.fromState({ seed: 1, stream: 2, position: 2 ** 36 + 8 });
  assert.is(generator.nextUint32(), philox([2, 4, 2, 2], [1, 0])[0]);
});

test("whole numbers below n are equally likely", () => {
  const generator = new Generator(6);
  for (const n of [1, 2, 3, 7, 10]) {
    const counts = new Array<number>(n).fill(0);
    for (let i = 0; i < 20_000; i++) counts[generator.integer(n)]!++;
    // Five standard deviations of a binomial count.
    const bound = 5 * Math.sqrt((20_000 / n) * (1 - 1 / n));
    for (const count of counts) assert.ok(Math.abs(count - 20_000 / n) <= bound, `${n}: ${counts}`);
  }
});

test("words of an incomplete multiple are drawn again, so that large n has no bias", () => {
  // Below 3·2^30 a plain remainder would give numbers below 2^30 twice as often as others: half instead of a third.
  const generator = new Generator(8);
  let small = 0;
  for (let i = 0; i < 20_000; i++) if (generator.integer(3 * 2 ** 30) < 2 ** 30) small++;
  assert.ok(Math.abs(small / 20_000 - 1 / 3) < 5 * Math.sqrt(2 / 9 / 20_000));
  assert.ok(generator.integer(2 ** 32) < 2 ** 32);
});

test("a shuffle keeps the elements and makes every order equally likely", () => {
  const generator = new Generator(9);
  const counts = new Map<string, number>();
  for (let i = 0; i < 24_000; i++) {
    const order = generator.shuffle(Int32Array.of(0, 1, 2, 3)).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.is(counts.size, 24);
  // Each order is expected 1000 times, with standard deviation 31.
  for (const [order, count] of counts) {
    assert.equal([...order].sort(), ["0", "1", "2", "3"]);
    assert.ok(Math.abs(count - 1000) < 5 * 31, `${order}: ${count}`);
  }
  assert.equal(generator.shuffle(["only"]), ["only"]);
});

test("seeds, streams, positions and limits outside their range are refused in a sentence", () => {
  for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) {
    assert.throws(
      () => new Generator(seed),
      (e: unknown) => e instanceof UsageError && /seed/.test(e.message),
    );
  }
  assert.throws(() => new Generator(0, 2 ** 32), /stream/);
  assert.throws(() => Generator.fromState({ seed: 0, stream: 0, position: -4 }), /position/);
  for (const n of [0, -1, 1.5, 2 ** 32 + 1]) {
    assert.throws(() => new Generator(0).integer(n), /integer from 1 to/);
  }
});

test.run();
