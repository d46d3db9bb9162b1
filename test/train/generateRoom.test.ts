// How far generation goes: a cache that grows with the text, and a window that it must not leave.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { ShapeError } from "../../src/core/error.ts";
import { KvCache } from "../../src/nn/cache.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { generate, generateBatch } from "../../src/train/generate.ts";
import { uniform } from "../support/arbitraries.ts";
import { logitsOf } from "../support/logits.ts";
import { llamaStyle, smallModel } from "../support/models.ts";

const engine = await Engine.create({ deterministic: true, threads: 1 });

/** Logits after the last of these ids, by a forward pass over all of them. */
function logitsAfter(model: Transformer, ids: readonly number[]): Float32Array {
  const inputs = Int32Array.from(ids);
  const zeros = new Int32Array(ids.length);
  const logits = logitsOf(model, {
    batchSize: 1,
    blockSize: ids.length,
    inputs,
    targets: inputs,
    starts: zeros,
    positions: inputs.map((_, t) => t),
  });
  return logits.subarray(-model.config.vocabSize);
}

function likeliest(logits: Float32Array): number {
  return logits.indexOf(Math.max(...logits));
}

function prompt(length: number, start = 1): number[] {
  const next = uniform(start);
  return Array.from({ length }, () => Math.floor(next() * 61));
}

test("a long text outgrows the cache that it began with, with the tokens of full forward passes", () => {
  engine.run(() => {
    const config = { ...llamaStyle, maxPositions: 5000 };
    const model = smallModel(config);
    const options = { temperature: 0, maxNewTokens: 4200 };
    const prompts = [prompt(3), prompt(3, 2)];
    const made = generateBatch(model, prompts, options);
    prompts.forEach((ids, row) => {
      const tokens = made[row]!;
      assert.is(tokens.length, 4200);
      for (const at of [2040, 2047, 2050, 4094, 4199]) {
        const before = [...ids, ...tokens.slice(0, at)];
        assert.is(tokens[at], likeliest(logitsAfter(model, before)), `token ${at} of ${row}`);
      }
    });
    model.dispose();
  });
});

test("past the window over which attention slides nothing is generated, as nothing is computed", () => {
  engine.run(() => {
    const model = smallModel({ ...llamaStyle, maxPositions: 4, window: 4 });
    const free = smallModel({ ...llamaStyle, maxPositions: 48 });
    const greedy = { temperature: 0 };
    for (const [length, most] of [
      [1, 4],
      [3, 2],
      [4, 1],
    ] as const) {
      const ids = prompt(length);
      const within = { ...greedy, maxNewTokens: most };
      assert.equal(generate(model, ids, within), generate(free, ids, within));
      assert.throws(
        () => generate(model, ids, { ...greedy, maxNewTokens: most + 1 }),
        (error: unknown) =>
          error instanceof ShapeError &&
          /^5 tokens go past the window of 4 tokens/.test(error.message),
      );
    }
    assert.throws(() => generate(model, prompt(5), { maxNewTokens: 0 }), /window of 4 tokens/);
    assert.throws(() => generateBatch(model, [prompt(3), prompt(9)]), /window of 4 tokens/);
    assert.throws(() => logitsAfter(model, prompt(5)), /^5 tokens go past the window of 4 tokens/);
    assert.throws(() => new KvCache(model.config, 1, 5), /5 tokens go past the window of 4 tokens/);
    for (const one of [model, free]) one.dispose();
  });
});

test.run();
