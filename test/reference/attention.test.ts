import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, row } from "../../src/reference/array.ts";
import { attention, attentionBackward } from "../../src/reference/attention.ts";
import { concat, indexSelect, slice } from "../../src/reference/shape.ts";
import {
  type AttentionSizes,
  attentionSizes,
  fill,
  seed,
  segmentStarts,
} from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const U = 2 ** -53;

function draw({ B, T, H, G, D }: AttentionSizes, seed: number) {
  return {
    q: array([B, T, H, D], fill([B, T, H, D], seed)),
    k: array([B, T, G, D], fill([B, T, G, D], seed + 1)),
    v: array([B, T, G, D], fill([B, T, G, D], seed + 2)),
  };
}

// Tokens start .. end - 1 of every sequence.
function tokens(x: Arr, start: number, end: number): Arr {
  return slice(x, { axis: 1, start, end });
}

test("the gradients of attention are its slopes, with groups, segments and a scale of its own", () => {
  fc.assert(
    fc.property(attentionSizes(5), fc.boolean(), seed, (sizes, segmented, seed) => {
      const { B, T, D } = sizes;
      const starts = array([B, T], segmentStarts(B, T, seed + 3));
      const options = segmented ? { starts, scale: 0.5 } : {};
      expectGradients({
        inputs: draw(sizes, seed),
        forward: ({ q, k, v }) => attention(q, k, v, options),
        backward: (dout, { q, k, v }) => {
          const { dq, dk, dv } = attentionBackward(dout, q, k, v, options);
          return { q: dq, k: dk, v: dv };
        },
        seed,
        // D products in a score of up to 4 D, an exponential that magnifies its error, sums over T keys.
        roundings: (D + 2) * 4 * D + 2 * T + 8,
        magnitude: 2,
      });
    }),
    { numRuns: 40 },
  );
});

test("the gradients with a KV cache, fewer queries than keys, are its slopes", () => {
  fc.assert(
    fc.property(attentionSizes(5), fc.nat(3), fc.nat(2), seed, (sizes, past, spare, seed) => {
      const { B, T, H, G, D } = sizes;
      const Tk = past + T + spare;
      const { q } = draw(sizes, seed);
      expectGradients({
        inputs: {
          q,
          k: array([B, Tk, G, D], fill([B, Tk, G, D], seed + 1)),
          v: array([B, Tk, G, D], fill([B, Tk, G, D], seed + 2)),
        },
        forward: ({ q, k, v }) => attention(q, k, v, { offset: past }),
        backward: (dout, { q, k, v }) => {
          const { dq, dk, dv } = attentionBackward(dout, q, k, v, { offset: past });
          return { q: dq, k: dk, v: dv };
        },
        seed,
        roundings: (D + 2) * 4 * D + 2 * Tk + 8 + H,
        magnitude: 2,
      });
    }),
    { numRuns: 40 },
  );
});

test("documents packed into one row give what each gives alone, to the bit", () => {
  fc.assert(
    fc.property(attentionSizes(), fc.nat(11), seed, (sizes, cut, seed) => {
      const { T } = sizes;
      const border = cut % T;
      const { q, k, v } = draw({ ...sizes, B: 1 }, seed);
      const starts = array(
        [1, T],
        Float64Array.from({ length: T }, (_, t) => (t < border ? 0 : border)),
      );
      const alone = [
        [0, border],
        [border, T],
      ].map(([start, end]) =>
        attention(tokens(q, start!, end!), tokens(k, start!, end!), tokens(v, start!, end!)),
      );
      const packed = attention(q, k, v, { starts });
      expectSame(packed.data, concat(alone, 1).data, packed);
    }),
  );
});

test("gradients of packed documents are those of each alone, to the bit", () => {
  fc.assert(
    fc.property(attentionSizes(), fc.nat(11), seed, (sizes, cut, seed) => {
      const { T } = sizes;
      const border = cut % T;
      const { q, k, v } = draw({ ...sizes, B: 1 }, seed);
      const dout = array(q.shape, fill(q.shape, seed + 3));
      const starts = array(
        [1, T],
        Float64Array.from({ length: T }, (_, t) => (t < border ? 0 : border)),
      );
      const packed = attentionBackward(dout, q, k, v, { starts });
      for (const [start, end] of [[0, border] as const, [border, T] as const]) {
        const [doutPart, qPart, kPart, vPart] = [dout, q, k, v].map((x) => tokens(x, start, end));
        const alone = attentionBackward(doutPart!, qPart!, kPart!, vPart!);
        expectSame(tokens(packed.dq, start, end).data, alone.dq.data);
        expectSame(tokens(packed.dk, start, end).data, alone.dk.data);
        expectSame(tokens(packed.dv, start, end).data, alone.dv.data);
      }
    }),
  );
});

test("the last tokens against a cache of the first are the last rows of the whole, to the bit", () => {
  fc.assert(
    fc.property(attentionSizes(), fc.nat(11), fc.nat(3), seed, (sizes, cut, spare, seed) => {
      const { B, T, G, D } = sizes;
      const past = cut % T;
      const { q, k, v } = draw(sizes, seed);
      const whole = tokens(attention(q, k, v), past, T);
      const last = tokens(q, past, T);
      expectSame(attention(last, k, v).data, whole.data);
      // A cache with room at its end: what lies there is not seen.
      const room = array([B, spare, G, D], new Float64Array(B * spare * G * D).fill(Number.NaN));
      const cached = attention(last, concat([k, room], 1), concat([v, room], 1), { offset: past });
      expectSame(cached.data, whole.data);
    }),
  );
});

test("grouped heads are full heads whose keys and values are repeated", () => {
  fc.assert(
    fc.property(attentionSizes(), seed, (sizes, seed) => {
      const { H, G } = sizes;
      const { q, k, v } = draw(sizes, seed);
      const group = array(
        [H],
        Float64Array.from({ length: H }, (_, h) => Math.floor(h / (H / G))),
      );
      const full = attention(q, indexSelect(k, 2, group), indexSelect(v, 2, group));
      expectSame(attention(q, k, v).data, full.data);
    }),
  );
});

test("a query of zeros takes the plain mean of the values up to its own", () => {
  const v = array([1, 3, 1, 2], [1, 10, 2, 20, 6, 60]);
  const zeros = array([1, 3, 1, 2]);
  expectClose(attention(zeros, v, v).data, [1, 10, 1.5, 15, 3, 30], 60 * 4 * U);
});

test("a query far along one key takes that key's value alone, without overflow", () => {
  const q = array([1, 2, 1, 1], [1e4, 1e4]);
  const k = array([1, 2, 1, 1], [1e4, -1e4]);
  const out = attention(q, k, array([1, 2, 1, 1], [7, 9]));
  expectSame(row(out, 0), [7]);
  expectSame(row(out, 1), [7]);
});

test("what cannot be: uneven groups, queries beyond the keys, a start after the query", () => {
  const x = array([1, 2, 2, 2]);
  const three = array([1, 2, 3, 2]);
  assert.throws(() => attention(three, x, x), /3 query heads .* 2 key heads/);
  assert.throws(() => attention(x, x, x, { offset: 1 }), /Queries 1 to 2 .* 2 keys/);
  assert.throws(
    () => attention(x, x, x, { starts: array([1, 2], [1, 1]) }),
    /Query 0 starts at key 1/,
  );
});

test.run();
