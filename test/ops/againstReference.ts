// Runs an op in the engine and holds it against the float64 reference: its values, and the gradients of
// sum(y ∘ dy), in every build and with one thread and two. What one thread computes, two must give to the bit.

import * as assert from "uvu/assert";
import type { Engine } from "../../src/core/engine.ts";
import type { Arr } from "../../src/reference/array.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, expectSame, type Tolerance } from "../support/compare.ts";
import { engines, type NamedEngine } from "../support/engines.ts";

/** All engines: baseline 1, baseline 2, relaxed 1, relaxed 2 threads. */
export const all: readonly NamedEngine[] = await engines();

/** u = 2^-24: a rounding to float32 changes a number by at most u times its magnitude. */
export const U: number = 2 ** -24;

/** What is expected, and how far from it is allowed. */
export interface Expected {
  readonly values: Arr;
  readonly tolerance: Tolerance;
}

/** An op, its float32 inputs, and what the reference says. */
export interface OpCase {
  readonly inputs: readonly Arr[];
  readonly op: (...inputs: Tensor[]) => Tensor;
  readonly dy: Arr;
  readonly y: Expected;
  readonly gradients: readonly Expected[];
}

/** What the engine computed. */
export interface Outcome {
  readonly shape: readonly number[];
  readonly y: Float32Array;
  readonly gradients: readonly Float32Array[];
}

/** An array's numbers as a tensor. */
export function tensorOf(values: Arr, requiresGrad = false): Tensor {
  return tensor(Float32Array.from(values.data), { shape: values.shape, requiresGrad });
}

/** y, and the gradients of sum(y ∘ dy) for every input. */
export function run(
  engine: Engine,
  inputs: readonly Arr[],
  dy: Arr,
  op: (...inputs: Tensor[]) => Tensor,
): Outcome {
  return engine.run(() =>
    scope(() => {
      const tensors = inputs.map((input) => tensorOf(input, true));
      const y = op(...tensors);
      y.mul(tensorOf(dy)).sum().backward();
      return {
        shape: y.shape,
        y: Float32Array.from(y.toArray()),
        gradients: tensors.map((t) => t.grad ?? new Float32Array(0)),
      };
    }),
  );
}

/** The same numbers from both; used for threads. */
export function expectSameOutcome(actual: Outcome, expected: Outcome, what: string): void {
  expectSame(actual.y, expected.y, { what: `y, ${what}` });
  expected.gradients.forEach((gradient, i) => {
    expectSame(actual.gradients[i]!, gradient, { what: `gradient ${i}, ${what}` });
  });
}

/** Throws unless every engine agrees with the reference, and both thread counts of a build with each other. */
export function expectOp({ inputs, op, dy, y, gradients }: OpCase): void {
  const outcomes = all.map(({ name, engine }) => {
    const outcome = run(engine, inputs, dy, op);
    assert.equal(outcome.shape, y.values.shape, `the shape of y, ${name}`);
    const { shape } = y.values;
    expectClose(outcome.y, y.values.data, y.tolerance, { what: `y, ${name}`, shape });
    gradients.forEach(({ values, tolerance }, i) => {
      const what = `gradient ${i}, ${name}`;
      expectClose(outcome.gradients[i]!, values.data, tolerance, { what, shape: values.shape });
    });
    return outcome;
  });
  expectSameOutcome(outcomes[1]!, outcomes[0]!, "2 threads against 1, baseline");
  expectSameOutcome(outcomes[3]!, outcomes[2]!, "2 threads against 1, relaxed");
}

/** Parallel jobs of sum(y ∘ dy) and, if asked, its backward pass. */
function jobsOf(
  engine: Engine,
  inputs: readonly Arr[],
  dy: Arr,
  op: (...inputs: Tensor[]) => Tensor,
  withBackward: boolean,
): number {
  const before = engine.stats().parallelJobs;
  engine.run(() =>
    scope(() => {
      const loss = op(...inputs.map((input) => tensorOf(input, true)))
        .mul(tensorOf(dy))
        .sum();
      if (withBackward) loss.backward();
    }),
  );
  return engine.stats().parallelJobs - before;
}

/**
 * For inputs large enough for threads: throws unless two threads give the bits of one, and both worked in the forward
 * and in the backward pass.
 */
export function expectThreads(
  inputs: readonly Arr[],
  dy: Arr,
  op: (...inputs: Tensor[]) => Tensor,
): void {
  for (const [one, two] of [
    [all[0]!, all[1]!],
    [all[2]!, all[3]!],
  ] as const) {
    const { engine, name } = two;
    const before = engine.stats();
    engine.run(() => scope(() => void op(...inputs.map((input) => tensorOf(input)))));
    const after = engine.stats();
    assert.ok(after.parallelJobs > before.parallelJobs, `${name}: forward ran on one thread`);
    assert.ok(after.threadWork[0]! > before.threadWork[0]!, `${name}: thread 0 had no work`);
    assert.ok(after.threadWork[1]! > before.threadWork[1]!, `${name}: thread 1 had no work`);
    const backwardJobs = (inputs: readonly Arr[], op: (...inputs: Tensor[]) => Tensor): number =>
      jobsOf(engine, inputs, dy, op, true) - jobsOf(engine, inputs, dy, op, false);
    const ofLoss = backwardJobs([dy], (y) => y);
    assert.ok(backwardJobs(inputs, op) > ofLoss, `${name}: backward ran on one thread`);
    const outcome = run(engine, inputs, dy, op);
    expectSameOutcome(outcome, run(one.engine, inputs, dy, op), `${name} against 1`);
  }
}

/** Throws unless `fn` throws an error of this class whose message has all these words. */
export function expectRefusal(
  fn: () => unknown,
  kind: new (message: string) => Error,
  ...words: readonly string[]
): void {
  assert.throws(fn, (error: unknown) => {
    assert.instance(error, kind);
    for (const word of words) assert.match((error as Error).message, word);
    return true;
  });
}
