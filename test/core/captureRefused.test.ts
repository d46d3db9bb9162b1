// What a captured function may not do, and what is left behind when it fails: nothing.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { attention, writeCache } from "../../src/tensor/attention.ts";
import { capture } from "../../src/tensor/capture.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engine, inEngine } from "../support/inEngine.ts";

class Holder {
  readonly x: Float32Array;
  constructor(x: Float32Array) {
    this.x = x;
  }
}

const refusals: readonly (readonly [string, (x: Float32Array, w: Tensor) => unknown, RegExp])[] = [
  ["reading a tensor", (_, w) => w.mul(2).item(), /was read by a captured function/],
  ["reading all of a tensor", (_, w) => w.toArray(), /was read by a captured function/],
  ["reading a gradient", (_, w) => w.grad, /was read by a captured function/],
  ["writing a tensor", (_, w) => w.set([1]), /was written by a captured function/],
  [
    "an array that is no argument",
    (x) => tensor(x.map((value) => value + 1)),
    /2 numbers that is not among its arguments/,
  ],
  ["freezing a tensor", (_, w) => (w.requiresGrad = true), /was frozen or unfrozen by a captured/],
  [
    "zeroing the gradient of a tensor made inside",
    (x) => tensor(x, { requiresGrad: true }).zeroGrad(),
    /was written by a captured function/,
  ],
  [
    "an array in an object of a class",
    (x) => tensor(new Holder(x.map(Math.abs)).x),
    /plain objects/,
  ],
  ["seeding", () => manualSeed(1), /cannot seed/],
  ["a promise", async () => {}, /returned a promise/],
  ["a step inside a step", () => capture(() => 1)(), /inside a scope or another step/],
  [
    "writing a cache",
    () => {
      const cache = zeros([1, 4, 1, 2], { persistent: true });
      try {
        writeCache(cache, ones([1, 1, 1, 2]), 0);
      } finally {
        cache.dispose();
      }
    },
    /cannot write into a cache at a fixed place/,
  ],
];
for (const [what, fn, message] of refusals) {
  inEngine(`${what} is refused, and the engine goes on`, () => {
    const w = tensor([1], { persistent: true });
    const step = capture((x: Float32Array) => fn(x, w));
    assert.throws(
      () => step(Float32Array.of(1, 2)),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    );
    assert.is(step.recordings, 0);
    assert.is(
      scope(() => w.mul(3).item()),
      3,
    );
    w.dispose();
  });
}

inEngine("a step within a scope is refused", () => {
  const step = capture(() => ones([1]));
  assert.throws(() => scope(() => step()), /inside a scope/);
});

inEngine(
  "a result can be neither written nor differentiated, nor used by another captured step",
  () => {
    const w = tensor([2], { requiresGrad: true, persistent: true });
    const step = capture((x: Float32Array) => ({ y: w.mul(tensor(x)), one: ones([1]) }));
    const { y, one } = step(Float32Array.of(3));
    assert.throws(() => one.set([100]), /result is not to be written/);
    assert.throws(() => scope(() => y.sum().backward()), /nothing to differentiate/);
    scope(() => y.mul(w).sum().backward());
    assert.equal(w.grad, Float32Array.of(6));
    const other = capture(() => y.mul(2));
    assert.throws(() => other(), /that another captured step gave/);
    const copy = y.clone();
    const third = capture(() => copy.mul(2));
    assert.is(third().item(), 12);
    for (const made of [step, third, copy, w]) made.dispose();
  },
);

test("a step of another engine inside a step is refused, and recording goes on", async () => {
  const other = await Engine.create({ threads: 1 });
  const inner = capture((x: Float32Array) => tensor(x));
  const outer = capture((x: Float32Array, y: Float32Array) => {
    const a = tensor(x);
    assert.throws(
      () => other.run(() => inner(Float32Array.of(1))),
      /inside a scope or another step/,
    );
    return a.add(tensor(y));
  });
  for (const i of [1, 2, 3]) {
    const sum = engine.run(() => outer(Float32Array.of(i), Float32Array.of(10 * i)).item());
    assert.is(sum, 11 * i);
  }
  assert.is(outer.recordings, 1);
  outer.dispose();
});

inEngine("an optimizer is stepped once", () => {
  const w = tensor([1], { requiresGrad: true, persistent: true });
  const optimizer = new AdamW([w]);
  const step = capture(() => {
    w.mul(2).sum().backward();
    optimizer.step();
    optimizer.step();
  });
  assert.throws(() => step(), /stepped an optimizer twice/);
  optimizer.dispose();
  w.dispose();
});

test("a tensor of another engine is refused", async () => {
  const other = await Engine.create({ threads: 1 });
  const foreign = other.run(() => tensor([1]));
  const step = capture(() => foreign.mul(2));
  assert.throws(() => engine.run(() => step()), /works in one engine/);
});

inEngine("a function that throws leaves nothing behind", () => {
  const step = capture((x: Float32Array) => {
    attention(ones([1, 4, 1, 8]), ones([1, 4, 1, 8]), ones([1, 4, 1, 8]));
    if (x.length === 2) throw new RangeError("no");
    return tensor(x);
  });
  assert.throws(() => step(Float32Array.of(1, 2)), /no/);
  assert.is(step(Float32Array.of(1)).item(), 1);
  assert.throws(() => step(Float32Array.of(1, 2)), /no/);
  step.dispose();
});

test("memory that runs out while a step is captured leaves the engine as it was", async () => {
  const small = await Engine.create({ threads: 1, maximumMemory: 4 * 1024 * 1024 });
  small.run(() => {
    const step = capture((x: Float32Array) => tensor(x).mul(2));
    assert.throws(() => step(new Float32Array(1 << 20)), /Out of memory/);
    assert.is(small.stats().persistentBytes, small.stats().scratchBytes);
    assert.equal(step(Float32Array.of(4)).toArray(), Float32Array.of(8));
    step.dispose();
  });
});

test.run();
