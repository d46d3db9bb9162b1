// Generation: which token is taken, that the same seed takes the same ones, and what happens at the last position.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import { Generator } from "../../src/core/random.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import {
  type GenerateOptions,
  generate,
  generateBatch,
  generateTokens,
} from "../../src/train/generate.ts";
import { checkSampling, sample } from "../../src/train/sample.ts";
import { seed, uniform } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, smallModel, styles } from "../support/models.ts";

const all = await engines();
const { engine } = all[0]!;

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

function likeliest(logits: Float32Array, count = 1): number[] {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  return order.slice(0, count);
}

function prompt(length: number, start = 1): number[] {
  const next = uniform(start);
  return Array.from({ length }, () => Math.floor(next() * 61));
}

for (const { name, engine: one } of all) {
  for (const [family, config] of styles) {
    test(`greedy tokens are the likeliest of full forward passes (${family}, ${name})`, () => {
      one.run(() => {
        const model = smallModel(config);
        drawAdapter(injectLora(model, { r: 3, targetModules: "all-linear" }));
        for (const length of [1, 2, 3, 4, 9]) {
          const ids = prompt(length);
          const made = generate(model, ids, { temperature: 0, maxNewTokens: 6 });
          assert.is(made.length, 6);
          for (const token of made) {
            assert.is(token, likeliest(logitsAfter(model, ids))[0]);
            ids.push(token);
          }
        }
        model.dispose();
      });
    });
  }
}

function withModel(name: string, body: (model: Transformer) => void): void {
  test(name, () => {
    engine.run(() => {
      const model = smallModel(styles[1]![1]);
      body(model);
      model.dispose();
    });
  });
}

withModel("the same seed makes the same tokens, another seed others", (model) => {
  const options: GenerateOptions = { temperature: 1.5, maxNewTokens: 30 };
  const made = generate(model, prompt(4), { ...options, seed: 5 });
  assert.equal(generate(model, prompt(4), { ...options, seed: 5 }), made);
  assert.equal([...generateTokens(model, prompt(4), { ...options, seed: 5 })], made);
  assert.not.equal(generate(model, prompt(4), { ...options, seed: 6 }), made);
});

withModel("topK 1, a topP of almost nothing and the smallest temperatures are greedy", (model) => {
  const greedy = generate(model, prompt(5), { temperature: 0, maxNewTokens: 12 });
  for (const options of [
    { topK: 1, temperature: 2 },
    { topP: 1e-9, temperature: 2 },
    { temperature: 1e-30 },
    { temperature: Number.MIN_VALUE },
  ]) {
    assert.equal(generate(model, prompt(5), { ...options, maxNewTokens: 12 }), greedy);
  }
});

withModel(
  "when the positions run out, generation goes on from the later half of the text",
  (model) => {
    const { maxPositions } = model.config;
    const half = maxPositions / 2;
    // Up to the last position, one short of it, far beyond it, and a prompt that does not fit.
    for (const [length, count] of [
      [maxPositions - 3, 40],
      [maxPositions, 5],
      [maxPositions + 9, 5],
      [1, 2 * maxPositions + 5],
    ] as const) {
      const text = prompt(length);
      let context = length > maxPositions ? text.slice(-half) : [...text];
      const made = generate(model, text, { temperature: 0, maxNewTokens: count });
      assert.is(made.length, count);
      for (const token of made) {
        if (context.length > maxPositions) context = text.slice(-half);
        assert.is(token, likeliest(logitsAfter(model, context))[0]);
        text.push(token);
        context.push(token);
      }
    }
  },
);

withModel("a stop token ends the text and is not part of it", (model) => {
  const made = generate(model, prompt(3), { temperature: 0, maxNewTokens: 20 });
  const stop = made.at(-1)!;
  const before = made.slice(0, made.indexOf(stop));
  assert.equal(
    generate(model, prompt(3), { temperature: 0, maxNewTokens: 20, stopTokens: [stop] }),
    before,
  );
});

withModel(
  "a caller that stops reading frees the cache, and training mode is as before",
  (model) => {
    generate(model, prompt(3), { maxNewTokens: 3 });
    const { persistentBytes } = engine.stats();
    model.train();
    for (const token of generateTokens(model, prompt(3), { maxNewTokens: 30 })) {
      assert.not.ok(model.training);
      if (token >= 0) break;
    }
    assert.ok(model.training);
    assert.is(engine.stats().persistentBytes, persistentBytes);
    assert.throws(
      () => generate(model, [61], { maxNewTokens: 3 }),
      (error: unknown) => error instanceof LowrankError,
    );
    assert.is(engine.stats().persistentBytes, persistentBytes);
    assert.ok(model.training);
  },
);

withModel("options that make no sense and an empty prompt are refused", (model) => {
  const wrong: readonly (readonly [GenerateOptions, RegExp])[] = [
    [{ temperature: -1 }, /temperature is -1/],
    [{ temperature: Number.NaN }, /temperature is NaN/],
    [{ topK: -1 }, /topK is -1/],
    [{ topK: 1.5 }, /topK is 1.5/],
    [{ topP: 0 }, /topP is 0/],
    [{ topP: 1.1 }, /topP is 1.1/],
    [{ maxNewTokens: -1 }, /maxNewTokens is -1/],
    [{ seed: -1 }, /seed/],
  ];
  const refused = (act: () => unknown, message: RegExp): void => {
    assert.throws(
      act,
      (error: unknown) => error instanceof UsageError && message.test(error.message),
    );
  };
  for (const [options, message] of wrong) {
    refused(() => generate(model, prompt(3), options), message);
  }
  refused(() => generate(model, []), /prompt is empty/);
  for (const id of [1.5, -1, Number.NaN, model.config.vocabSize, 2 ** 32]) {
    const told = new RegExp(`holds ${id} at \\[1\\].* 0 to ${model.config.vocabSize - 1}`);
    refused(() => generate(model, [2, id, 3], { maxNewTokens: 2 }), told);
    refused(() => generateBatch(model, [prompt(3), [2, id, 3]], { maxNewTokens: 2 }), told);
  }
  assert.equal(generate(model, prompt(3), { maxNewTokens: 0 }), []);
});

test("top-k and top-p leave the fewest likeliest tokens that do, and drawn ones follow the softmax", () => {
  engine.run(() => {
    const next = uniform(11);
    const logits = Float32Array.from({ length: 12 }, () => 3 * next());
    const draws = 3000;
    fc.assert(
      fc.property(
        fc.constantFrom(0.5, 1, 2),
        fc.integer({ min: 0, max: 13 }),
        fc.constantFrom(0.3, 0.6, 0.9, 1),
        seed,
        (temperature, topK, topP, start) => {
          const weights = [...logits].map((logit) => Math.exp(logit / temperature));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          const order = likeliest(logits, topK === 0 ? 12 : topK);
          let reached = 0;
          const kept = order.filter((id) => {
            const before = reached;
            reached += weights[id]! / total;
            return before < topP;
          });
          const among = kept.reduce((sum, id) => sum + weights[id]!, 0);
          const random = new Generator(start);
          const counts = new Map<number, number>();
          const options = checkSampling({ temperature, topK, topP });
          for (let i = 0; i < draws; i++) {
            const id = sample(logits, options, random);
            counts.set(id, (counts.get(id) ?? 0) + 1);
          }
          for (const id of counts.keys()) assert.ok(kept.includes(id));
          for (const id of kept) {
            const p = weights[id]! / among;
            // Six standard deviations of a binomial count: one case in 10^9 is further off.
            const allowed = 6 * Math.sqrt(draws * p * (1 - p)) + 1e-3;
            assert.ok(Math.abs((counts.get(id) ?? 0) - draws * p) <= allowed, `${id}: ${p}`);
          }
        },
      ),
      { numRuns: 12 },
    );
  });
});

test("logits that are NaN, or infinite at the top, are an error and no token", () => {
  engine.run(() => {
    const { NaN: none, POSITIVE_INFINITY: most, NEGATIVE_INFINITY: least } = Number;
    for (const temperature of [0, 0.8]) {
      const options = checkSampling({ temperature });
      for (const wrong of [[none, 1], [1, none], [2, most], [least, least], []]) {
        assert.throws(
          () => sample(Float32Array.from(wrong), options, new Generator(1)),
          (error: unknown) => error instanceof LowrankError && /NaN/.test(error.message),
        );
      }
      assert.is(sample(Float32Array.of(least, 1), options, new Generator(1)), 1);
    }
  });
});

for (const { name, engine: one } of all) {
  for (const [family, config] of styles) {
    test(`each of sixteen prompts gets the tokens that it gets alone (${family}, ${name})`, () => {
      one.run(() => {
        const model = smallModel(config);
        drawAdapter(injectLora(model, { r: 3, targetModules: "all-linear" }));
        // Two lengths, of which the second leaves no room for all new tokens; some texts end early.
        const { maxPositions } = model.config;
        const prompts = Array.from({ length: 16 }, (_, i) =>
          prompt(i % 3 === 0 ? maxPositions - 3 : 5, i + 1),
        );
        for (const temperature of [0, 1]) {
          const options = {
            temperature,
            maxNewTokens: 9,
            seed: 7,
            stopTokens: [3, 11, 20, 41, 50],
          };
          const together = generateBatch(model, prompts, options);
          const alone = prompts.map((ids, i) => generate(model, ids, { ...options, seed: 7 + i }));
          assert.equal(together, alone);
        }
        model.dispose();
      });
    });
  }
}

test("no prompts give no texts, and an empty one among others is refused", () => {
  engine.run(() => {
    const model = smallModel(styles[0]![1]);
    assert.equal(generateBatch(model, []), []);
    assert.throws(
      () => generateBatch(model, [[1], []]),
      (error: unknown) => error instanceof UsageError,
    );
    model.dispose();
  });
});

test.run();
