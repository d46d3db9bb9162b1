// The rungs below the kernels compute what the engine's own product does: every rung, from three loops in TypeScript up,
// sums over k in order with one accumulator an element, so the bits are the same.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { loadCore } from "../../bench/build.ts";
import { loadRungs, loops, RUNGS } from "../../bench/ladder.ts";

const core = loadCore("baseline");
const { kernels, memory } = core;
const rungs = loadRungs(core);

const [A, B, C, SCRATCH] = [1 << 20, 2 << 20, 3 << 20, 4 << 20] as const;

function floats(at: number, length: number): Float32Array {
  return new Float32Array(memory.buffer, at, length);
}

const numbers = fc.noShrink(fc.float({ noNaN: true, min: -2, max: 2 }));

test("every rung has the bits of the engine's product", () => {
  const shapes = fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 4 }), fc.integer({ min: 1, max: 70 }));
  fc.assert(
    fc.property(shapes, fc.infiniteStream(numbers), ([rows, columns, k], stream) => {
      const m = 4 * (rows + 1);
      const n = 8 * (columns + 1);
      const draw = (): number => stream.next().value as number;
      floats(A, m * k).forEach((_, i, all) => {
        all[i] = draw();
      });
      floats(B, k * n).forEach((_, i, all) => {
        all[i] = draw();
      });
      kernels.gemm(m, n, k, A, 0, k, B, 0, n, C, n, 0, SCRATCH, 0, 1);
      const expected = floats(C, m * n).slice();
      for (const rung of RUNGS) {
        floats(C, m * n).fill(Number.NaN);
        rungs[rung](m, n, k, A, B, C, SCRATCH);
        assert.equal(floats(C, m * n).slice(), expected, rung);
      }
    }),
    { numRuns: 60 },
  );
});

test("the three loops in TypeScript have them too", () => {
  const n = 24;
  const a = Float32Array.from({ length: n * n }, (_, i) => Math.fround(Math.sin(i)));
  const b = Float32Array.from({ length: n * n }, (_, i) => Math.fround(Math.cos(i)));
  const c = new Float32Array(n * n);
  loops(n, a, b, c);
  floats(A, n * n).set(a);
  floats(B, n * n).set(b);
  kernels.gemm(n, n, n, A, 0, n, B, 0, n, C, n, 0, SCRATCH, 0, 1);
  assert.equal(c, floats(C, n * n).slice());
});

test.run();
