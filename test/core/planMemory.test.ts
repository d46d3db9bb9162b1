// What a captured step holds of memory: its plan, in which a gradient may lie where the values were, and little beside it.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { gelu } from "../../src/tensor/activation.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { linear } from "../../src/tensor/linear.ts";
import { normal } from "../../src/tensor/random.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";

const [ROWS, NARROW, WIDE] = [512, 8, 512];
/** Bytes of values that are wide. */
const WHOLE = ROWS * WIDE * 4;

let stream = 0;
const made = (shape: readonly number[], requiresGrad: boolean): Tensor =>
  normal(shape, { std: 0.3, seed: 7, stream: stream++, persistent: true, requiresGrad });

interface World {
  readonly trained: readonly Tensor[];
  readonly loss: () => Tensor;
}

/** Two frozen layers with adapters and gelu between them, wide inside. */
function mlp(): World {
  stream = 0;
  const x = made([ROWS, NARROW], true);
  const up = made([WIDE, NARROW], false);
  const down = made([NARROW, WIDE], false);
  const one = { a: made([4, NARROW], true), b: made([WIDE, 4], true), scale: 0.5 };
  const two = { a: made([4, WIDE], true), b: made([NARROW, 4], true), scale: 0.5 };
  const loss = (): Tensor =>
    composite(x, () =>
      linear(gelu(linear(x.neg(), up, null, one)), down, null, two)
        .tanh()
        .sum(),
    );
  return { trained: [x, one.a, one.b, two.a, two.b], loss };
}

/** Wide logits and their loss. */
function head(): World {
  stream = 0;
  const x = made([ROWS, NARROW], true);
  const w = made([WIDE, NARROW], true);
  const targets = tensor(
    Int32Array.from({ length: ROWS }, (_, i) => (i % 9 === 0 ? -100 : (i * 7) % WIDE)),
    { persistent: true },
  );
  return { trained: [x, w], loss: () => composite(x, () => crossEntropy(linear(x, w), targets)) };
}

/** What the engine holds after two runs of a captured step, of the arena at most and beside it. */
async function heldBy(
  make: () => World,
): Promise<{ readonly peak: number; readonly beside: number }> {
  const fresh = await Engine.create({ threads: 1 });
  return fresh.run(() => {
    const { loss } = make();
    const before = fresh.stats();
    const step = capture(() => loss().backward());
    step();
    step();
    const { arenaPeak, persistentBytes, scratchBytes, leafGradientBytes } = fresh.stats();
    const grown = persistentBytes - scratchBytes - before.persistentBytes + before.scratchBytes;
    return { peak: arenaPeak, beside: grown - arenaPeak - leafGradientBytes };
  });
}

test("a gradient takes the place of values that its op is the last to read", async () => {
  // Of the MLP the input and the output of gelu, of the head its logits; beside them are narrow ones and records.
  const small = WHOLE / 8;
  const { peak } = await heldBy(mlp);
  assert.ok(peak > 2 * WHOLE && peak < 2 * WHOLE + small, `${peak / WHOLE}`);
  const { peak: logits } = await heldBy(head);
  assert.ok(logits > WHOLE && logits < WHOLE + small, `${logits / WHOLE}`);
});

test("a captured step holds little beside its plan", async () => {
  for (const make of [mlp, head]) {
    const { beside } = await heldBy(make);
    assert.ok(beside < 48 * 1024, `${beside} bytes`);
  }
});

for (const { name, engine } of await engines()) {
  test(`a gradient that takes the place of values has the bits of one that does not (${name})`, () => {
    for (const make of [mlp, head]) {
      const gradients = [true, false].map((captured) =>
        engine.run(() => {
          const { trained, loss } = make();
          const body = (): void => loss().backward();
          const step = capture(body);
          for (let i = 0; i < 3; i++) captured ? step() : scope(body);
          const found = trained.map(({ grad }) => grad);
          step.dispose();
          for (const t of trained) t.dispose();
          return found;
        }),
      );
      assert.equal(gradients[0], gradients[1]);
    }
  });
}

test.run();
