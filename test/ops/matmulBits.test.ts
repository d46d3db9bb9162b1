// The matrix product to the bit: whatever the threads and whatever lies beside it in a batch, the same numbers come
// out.

import { test } from "uvu";
import { type Arr, array } from "../../src/reference/array.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { all, expectSameOutcome, expectThreads, run, tensorOf } from "./againstReference.ts";

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

/** A shape as it is written in the tables below. */
function parse(sizes: string): number[] {
  return sizes.split(" ").map(Number);
}

test("two threads give the bits of one, whichever way the product goes", () => {
  for (const [a, b, y] of [
    ["127 15", "15 65", "127 65"],
    ["15 127", "127 65", "15 65"],
    ["3 43 15", "15 65", "3 43 65"],
    // Even batches: as many as threads take whole, and an odd number of large ones.
    ["9 30 20", "9 20 33", "9 30 33"],
    ["3 31 40", "3 40 33", "3 31 33"],
    // One a for all b.
    ["61 19", "5 19 33", "5 61 33"],
    ["1 61 19", "5 19 33", "5 61 33"],
    // Batch by batch.
    ["2 1 33 41", "1 3 41 37", "2 3 33 37"],
    ["3 1 37 41", "2 41 33", "3 2 37 33"],
  ] as const) {
    expectThreads([random(parse(a), 1), random(parse(b), 2)], random(parse(y), 3), matmul);
  }
});

// A race shows now and then only: between da and db, which divide the scratch, or x's gradient, in different ways.
test("hundreds of runs on two threads give the same bits", () => {
  const product = (...[a, b]: Tensor[]): Tensor => matmul(a!, b!);
  const square = (...[x]: Tensor[]): Tensor => matmul(x!, x!);
  for (const { inputs, y, op } of [
    { inputs: ["127 15", "15 65"], y: "127 65", op: product },
    { inputs: ["3 43 15", "3 15 65"], y: "3 43 65", op: product },
    { inputs: ["2 1 33 41", "1 3 41 37"], y: "2 3 33 37", op: product },
    { inputs: ["61 61"], y: "61 61", op: square },
  ]) {
    const operands = inputs.map((shape, i) => random(parse(shape), i));
    const dy = random(parse(y), 3);
    for (const [one, two] of [
      [all[0]!, all[1]!],
      [all[2]!, all[3]!],
    ] as const) {
      const expected = run(one.engine, operands, dy, op);
      for (let i = 0; i < 250; i++) {
        const got = run(two.engine, operands, dy, op);
        expectSameOutcome(got, expected, `[${inputs}], run ${i}, ${two.name}`);
      }
    }
  }
});

test("a batch, a row and a view alone have the bits that they have among others", () => {
  const [m, k, n] = [11, 300, 21];
  const [a, b] = [random([6, m, k], 1), random([6, k, n], 2)];
  for (const { name, engine } of all) {
    engine.run(() =>
      scope(() => {
        const [whole, right] = [tensorOf(a), tensorOf(b)];
        const y = matmul(whole, right).toArray();
        for (let i = 0; i < 6; i++) {
          const own = right.slice(0, i, i + 1).reshape([k, n]);
          for (const rows of [1, 2, 3, 4, m]) {
            const part = whole
              .slice(0, i, i + 1)
              .reshape([m, k])
              .slice(0, 0, rows);
            const expected = y.slice(i * m * n, i * m * n + rows * n);
            expectSame(matmul(part, own).toArray(), expected, { what: `batch ${i}, ${name}` });
          }
        }
      }),
    );
  }
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
