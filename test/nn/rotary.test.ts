// Tables of rotary positions are made as long as they are used, and what is computed has the bits of a long table.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError, UsageError } from "../../src/core/error.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { expectSameBits, training } from "../support/captured.ts";
import { engine, heldBytes, inEngine } from "../support/inEngine.ts";
import { llamaStyle, randomBatch, smallModel } from "../support/models.ts";

const IDS = Int32Array.of(5, 17, 3, 42);
/** 16 million positions: a table of all of them would take 400 MB. */
const long: ModelConfig = { ...llamaStyle, maxPositions: 16_777_216 };

function logits(model: Transformer, positions?: readonly number[]): unknown {
  const shape = [1, IDS.length];
  return scope(() =>
    noGrad(() => {
      const given = positions && { positions: tensor(Int32Array.from(positions), { shape }) };
      return model.forward(tensor(IDS, { shape }), given ?? {}).toArray();
    }),
  );
}

/** A batch whose documents are at these positions. */
function batchAt(first: number, seed: number): TokenBatch {
  const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 8, seed });
  return { ...batch, positions: batch.positions.map((position) => first + position) };
}

inEngine("a config of 16 million positions costs the memory of those that are used", () => {
  const model = smallModel(long);
  const short = smallModel(llamaStyle);
  const before = heldBytes(engine);
  assert.equal(logits(model), logits(short));
  const after = heldBytes(engine);
  assert.ok(after - before < 100_000, `${after - before} bytes`);
  for (const one of [model, short]) one.dispose();
});

inEngine("later positions have the bits of a model that begins with a table of them", () => {
  const growing = smallModel({ ...llamaStyle, maxPositions: 10_000 });
  for (const first of [0, 1023, 1024, 5000, 9996, 3]) {
    const fresh = smallModel({ ...llamaStyle, maxPositions: 10_000 });
    const positions = IDS.map((_, i) => first + i);
    assert.equal(logits(growing, [...positions]), logits(fresh, [...positions]), String(first));
    fresh.dispose();
  }
  assert.throws(
    () => logits(growing, [0, 1, 10_000, 3]),
    (error: unknown) =>
      error instanceof UsageError &&
      /rope got the position 10000 at \[0,2\] .*expected 0 to 9999/.test(error.message),
  );
  assert.throws(() => logits(growing, [0, -1, 0, 0]), /rope got the position -1 at \[0,1\]/);
  growing.dispose();
});

inEngine("a table that grows leaves what was computed before to its backward pass", () => {
  const gradients = (model: Transformer, batches: readonly TokenBatch[]): unknown => {
    model.gradientCheckpointing = batches.length > 2;
    const [weight] = [...model.parameters()];
    const result = scope(() => {
      const losses = batches.map((batch) => model.loss(batch));
      for (const loss of losses) loss.backward();
      return weight!.grad?.slice();
    });
    weight!.zeroGrad();
    return result;
  };
  const config = { ...llamaStyle, maxPositions: 20_000 };
  for (const batches of [
    [batchAt(0, 1), batchAt(3000, 2)],
    [batchAt(0, 1), batchAt(3000, 2), batchAt(9000, 3)],
  ]) {
    const growing = smallModel(config);
    const grown = smallModel(config);
    logits(grown, [0, 0, 0, 19_999]);
    assert.equal(gradients(growing, batches), gradients(grown, batches));
    for (const model of [growing, grown]) model.dispose();
  }
});

for (const checkpointing of [false, true]) {
  const what = checkpointing ? ", with blocks that run again," : "";
  test(`a captured step${what} is recorded anew for positions beyond its table`, () => {
    const firsts = [0, 500, 1100, 200, 1900, 9000, 3];
    const recordings = expectSameBits(
      engine,
      () => training({ ...llamaStyle, maxPositions: 10_000 }, { checkpointing }),
      firsts.map((first, i) => batchAt(first, i)),
    );
    // For 1100 and 9000: tables have 1024, 2048 and 10000 positions.
    assert.is(recordings, 3);
  });
}

test("without memory for more positions everything stays as it was", async () => {
  const small = await Engine.create({ deterministic: true, threads: 1, maximumMemory: 64 << 20 });
  small.run(() => {
    const model = smallModel(long);
    const before = logits(model);
    const held = heldBytes(small);
    assert.throws(
      () => logits(model, [0, 1, 2, 10_000_000]),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.is(heldBytes(small), held);
    assert.equal(logits(model), before);
    assert.equal(logits(model, [0, 1, 2, 3]), before);
  });
});

test.run();
