// A trap in the engine: a bug, which must end in an error that says so, never in a hang.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine, init } from "../../src/core/engine.ts";
import { LowrankError } from "../../src/core/error.ts";
import { Field } from "../../src/core/op.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { thrown } from "../support/thrown.ts";

const ROWS = 64;
const WIDTH = 1024;

/** Moves a tensor's data so that the first half of it lies outside of memory and the second half at address 0. */
function misplace({ engine, address, size }: Tensor): void {
  engine.i32[(address + Field.data) >>> 2] = -2 * size;
}

for (const threads of [1, 2]) {
  test(`a trap on thread 0 of ${threads} breaks the engine, and every use says so`, async () => {
    const engine = await Engine.create({ deterministic: true, threads });
    assert.is(engine.threads, threads);
    engine.run(() => {
      const small = tensor([1, 2, 3]);
      const logits = zeros([ROWS, WIDTH], { requiresGrad: true });
      const targets = tensor(new Int32Array(ROWS));
      // Thread 0 has the first rows and traps; thread 1 waits for it at a barrier.
      const first = thrown(() => {
        scope(() => {
          misplace(logits);
          return crossEntropy(logits, targets);
        });
      });
      assert.instance(first, LowrankError);
      assert.is((first.cause as Error).name, "RuntimeError");
      assert.match(first.message, /broke in CrossEntropy: RuntimeError: .* init\(\)/);
      for (const use of [
        () => small.toArray(),
        () => small.add(1),
        () => scope(() => 1),
        () => tensor([1]),
        () => engine.stats(),
      ]) {
        assert.is(thrown(use), first);
      }
    });
    engine.shutdown();
  });
}

test("a trap in backward names it", async () => {
  const engine = await Engine.create({ deterministic: true, threads: 2 });
  const error = engine.run(() =>
    thrown(() =>
      scope(() => {
        const x = zeros([ROWS, WIDTH], { requiresGrad: true });
        const y = crossEntropy(x, tensor(new Int32Array(ROWS)));
        misplace(x);
        y.backward();
      }),
    ),
  );
  assert.instance(error, LowrankError);
  assert.match(error.message, /broke in backward/);
});

test("init makes a new engine in the place of a broken one", async () => {
  await init({ deterministic: true, threads: 2 });
  const x = zeros([ROWS, WIDTH]);
  misplace(x);
  assert.instance(
    thrown(() => x.exp()),
    LowrankError,
  );
  await init({ deterministic: true, threads: 2 });
  assert.equal([...tensor([1, 2]).add(1).toArray()], [2, 3]);
});

test.run();
