// A captured pass over a cache of keys and values: each replay writes behind what the cache holds by then, with the bits
// of running it eagerly.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { KvCache } from "../../src/nn/cache.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { attention, writeCache } from "../../src/tensor/attention.ts";
import { type Captured, capture } from "../../src/tensor/capture.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, uniform } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";
import { heldBytes } from "../support/inEngine.ts";
import { drawAdapter, llamaStyle, smallModel, styles } from "../support/models.ts";

const all = await engines();
const { engine: baseline } = all[0]!;

/** Logits [B, T, V] of ids [B, T] behind what the cache holds. */
function logits(model: Transformer, cache: KvCache, ids: Int32Array): Tensor {
  const shape = [cache.batchSize, ids.length / cache.batchSize];
  return noGrad(() => model.forward(tensor(ids, { shape }), { cache }));
}

function eagerly(model: Transformer, cache: KvCache, ids: Int32Array): unknown {
  return scope(() => logits(model, cache, ids).toArray());
}

function captured(model: Transformer, cache: KvCache): Captured<[Int32Array], Tensor> {
  return capture((ids) => logits(model, cache, ids));
}

function idsOf(count: number, start: number): Int32Array {
  const next = uniform(start);
  return Int32Array.from({ length: count }, () => Math.floor(next() * 61));
}

/** A model, a cache for the captured passes and one for the eager ones. */
function withCaches(
  config: ModelConfig,
  batchSize: number,
  body: (model: Transformer, own: KvCache, other: KvCache) => void,
): void {
  const model = smallModel(config);
  const caches = [1, 2].map(() => new KvCache(config, batchSize, 40));
  body(model, caches[0]!, caches[1]!);
  for (const made of [...caches, model]) made.dispose();
}

const variants = ["trainable", "packed", "adapted", "merged"] as const;

for (const { name, engine } of all) {
  for (const [style, config] of styles) {
    test(`replays over a cache give the logits of eager passes bit for bit (${style}, ${name})`, () => {
      const property = fc.property(
        fc.constantFrom(...variants),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 12 }),
        fc.constantFrom(1, 1, 1, 3),
        seed,
        (variant, batchSize, before, step, start) => {
          withCaches(config, batchSize, (model, own, other) => {
            if (variant === "packed") model.freeze();
            if (variant === "adapted" || variant === "merged") {
              const adapter = injectLora(model, { r: 3, targetModules: "all-linear" });
              drawAdapter(adapter, start);
              if (variant === "merged") adapter.merge();
            }
            const prompt = idsOf(batchSize * before, start);
            for (const cache of before > 0 ? [own, other] : []) eagerly(model, cache, prompt);
            const replayed = captured(model, own);
            for (let i = 0; i < 8; i++) {
              const ids = idsOf(batchSize * step, start + i + 1);
              assert.equal(replayed(ids).toArray(), eagerly(model, other, ids), `${variant}, ${i}`);
              assert.is(own.length, other.length);
            }
            assert.is(replayed.recordings, 1);
            replayed.dispose();
          });
        },
      );
      engine.run(() => fc.assert(property, { numRuns: 8 }));
    });
  }
}

test("what changes between replays is noticed: adapters, merging, training mode, a weight", () => {
  baseline.run(() => {
    withCaches(llamaStyle, 2, (model, own, other) => {
      const adapters = ["one", "two"].map((adapterName, i) => {
        const config = { r: 2, targetModules: "all-linear" } as const;
        const adapter = injectLora(model, config, { adapterName });
        drawAdapter(adapter, i + 5);
        return adapter;
      });
      const replayed = captured(model, own);
      const changes: readonly (() => unknown)[] = [
        () => null,
        () => adapters[0]!.activate(),
        () => adapters[0]!.merge(),
        () => adapters[0]!.unmerge(),
        () => adapters[1]!.activate(),
        () => model.freeze(),
        () => model.train().eval(),
      ];
      changes.forEach((change, i) => {
        change();
        for (const again of [0, 1]) {
          const ids = idsOf(2, 2 * i + again);
          assert.equal(replayed(ids).toArray(), eagerly(model, other, ids), `change ${i}`);
        }
      });
      replayed.dispose();
    });
  });
});

test("a full cache and a wrong token are refused by a replay as by the first pass, and the cache stays as long as it is", () => {
  baseline.run(() => {
    withCaches(llamaStyle, 1, (model, own, other) => {
      // The first pass makes the model's table of angles.
      eagerly(model, other, idsOf(1, 0));
      const held = heldBytes(baseline);
      const replayed = captured(model, own);
      for (let i = 0; i < own.capacity; i++) replayed(idsOf(1, i));
      const message = /40 \+ 1 tokens do not fit into 40 positions/;
      const full = (error: Error) => error instanceof ShapeError && message.test(error.message);
      assert.throws(() => replayed(idsOf(1, 9)), full);
      assert.is(own.length, 40);
      own.length = 7;
      assert.throws(() => replayed(Int32Array.of(61)), /61 at \[0,0\]/);
      assert.is(own.length, 7);
      // From an earlier place on, and from the beginning.
      for (const from of [7, 0]) {
        own.length = from;
        other.length = 0;
        for (let i = 0; i < from; i++) eagerly(model, other, idsOf(1, i));
        const ids = idsOf(1, 77);
        assert.equal(replayed(ids).toArray(), eagerly(model, other, ids));
      }
      assert.is(replayed.recordings, 1);
      replayed.dispose();
      assert.is(heldBytes(baseline), held);
    });
  });
});

test("two passes on one cache within one captured step are refused", () => {
  baseline.run(() => {
    withCaches(llamaStyle, 1, (model, own) => {
      const twice = capture((ids: Int32Array) => [
        logits(model, own, ids),
        logits(model, own, ids),
      ]);
      assert.throws(
        () => twice(idsOf(1, 1)),
        (error: Error) => error instanceof UsageError && /twice on one cache/.test(error.message),
      );
    });
  });
});

for (const { name, engine } of all) {
  test(`captured ops follow an offset that is a function (${name})`, () => {
    engine.run(() => {
      const shape = [2, 3, 2, 4];
      const caches = [1, 2].map(() => zeros([2, 9, 2, 4], { persistent: true }));
      const pass = (cache: Tensor, x: Float32Array, offset: number | (() => number)): Tensor =>
        noGrad(() => {
          const rows = tensor(x, { shape });
          writeCache(cache, rows, offset);
          return attention(rows, cache, cache, { offset });
        });
      let at = 0;
      const step = capture((x: Float32Array) => pass(caches[0]!, x, () => at));
      for (const next of [0, 3, 5, 1, 6]) {
        at = next;
        const x = Float32Array.from(fill(shape, next));
        const expected = scope(() => pass(caches[1]!, x, at).toArray());
        assert.equal(step(x).toArray(), expected);
        assert.equal(caches[0]!.toArray(), caches[1]!.toArray());
      }
      assert.is(step.recordings, 1);
      for (const wrong of [7, -1, 0.5, Number.NaN]) {
        at = wrong;
        assert.throws(
          () => step(Float32Array.from(fill(shape, 1))),
          (error: Error) => error instanceof ShapeError && error.message.includes(`${wrong}`),
        );
      }
      assert.equal(caches[0]!.toArray(), caches[1]!.toArray());
      step.dispose();
      for (const cache of caches) cache.dispose();
    });
  });
}

test.run();
