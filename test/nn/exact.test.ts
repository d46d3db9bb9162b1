// What a whole model gives bit for bit, however it is asked: token by token with a cache or all at once, alone or
// among others, with weights in rows or in panels, eagerly or replayed.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import { KvCache } from "../../src/nn/cache.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { seed } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, randomBatch, smallModel, styles } from "../support/models.ts";
import { distance, referenceLogits, weightsOf } from "../support/referenceModel.ts";

const all = await engines();

/** How a model is set up: which adapter it has, and whether its weights are packed. */
const variants = ["trainable", "packed", "adapted", "merged"] as const;
type Variant = (typeof variants)[number];

function made(config: ModelConfig, variant: Variant, start: number): Transformer {
  const model = smallModel(config, start % 50);
  if (variant === "packed") model.freeze();
  if (variant === "adapted" || variant === "merged") {
    const adapter = injectLora(model, { r: 1 + (start % 6), targetModules: "all-linear" });
    drawAdapter(adapter, start);
    if (variant === "merged") adapter.merge();
  }
  return model;
}

/** Logits of the rows, fed to a cache in pieces of these lengths. */
function decoded(model: Transformer, batch: TokenBatch, pieces: readonly number[]): Float32Array {
  const { batchSize, blockSize, inputs } = batch;
  const V = model.config.vocabSize;
  const cache = new KvCache(model.config, batchSize, blockSize);
  const logits = new Float32Array(batchSize * blockSize * V);
  let from = 0;
  for (const length of pieces) {
    const part = scope(() =>
      noGrad(() => {
        const ids = Int32Array.from(
          { length: batchSize * length },
          (_, i) => inputs[Math.floor(i / length) * blockSize + from + (i % length)]!,
        );
        return model.forward(tensor(ids, { shape: [batchSize, length] }), { cache }).toArray();
      }),
    );
    for (let b = 0; b < batchSize; b++) {
      const piece = part.subarray(b * length * V, (b + 1) * length * V);
      logits.set(piece, (b * blockSize + from) * V);
    }
    from += length;
  }
  cache.dispose();
  return logits;
}

/** Row `b` as a batch of its own. */
function rowOf(batch: TokenBatch, b: number): TokenBatch {
  const { blockSize } = batch;
  const cut = (x: Int32Array): Int32Array => x.slice(b * blockSize, (b + 1) * blockSize);
  return {
    batchSize: 1,
    blockSize,
    inputs: cut(batch.inputs),
    targets: cut(batch.targets),
    starts: cut(batch.starts),
    positions: cut(batch.positions),
  };
}

const drawn = fc.record({
  style: fc.constantFrom(...styles),
  variant: fc.constantFrom(...variants),
  batchSize: fc.integer({ min: 1, max: 4 }),
  // Prompt, then pieces; 48 positions in all.
  pieces: fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 12 })), {
    minLength: 1,
    maxLength: 4,
  }),
  seed,
});

for (const { name, engine } of all) {
  const property = (
    what: string,
    numRuns: number,
    holds: (model: Transformer, batch: TokenBatch, pieces: readonly number[]) => void,
    packed = false,
  ): void => {
    test(`${what} (${name})`, () => {
      engine.run(() => {
        fc.assert(
          fc.property(drawn, ({ style: [, config], variant, batchSize, pieces, seed: start }) => {
            const model = made(config, variant, start);
            const blockSize = pieces.reduce((sum, length) => sum + length, 0);
            const batch = randomBatch(config, { batchSize, blockSize, seed: start, packed });
            holds(model, batch, pieces);
            model.dispose();
          }),
          { numRuns },
        );
      });
    });
  };

  property(
    "decoding with a cache equals the full forward, bit for bit",
    25,
    (model, batch, pieces) => {
      assert.equal(decoded(model, batch, pieces), logitsOf(model, batch));
    },
  );

  property(
    "a sequence of a batch equals that sequence alone, bit for bit",
    25,
    (model, batch) => {
      const together = logitsOf(model, batch);
      const size = together.length / batch.batchSize;
      for (let b = 0; b < batch.batchSize; b++) {
        assert.equal(logitsOf(model, rowOf(batch, b)), together.slice(b * size, (b + 1) * size));
      }
    },
    true,
  );

  property(
    "what comes later does not change a bit of what came before",
    15,
    (model, batch) => {
      const { inputs, blockSize, targets } = batch;
      const V = model.config.vocabSize;
      const half = Math.ceil(blockSize / 2);
      const changed = inputs.map((id, i) => (i % blockSize < half ? id : (id + 7) % V));
      const [before, after] = [inputs, changed].map((ids) =>
        logitsOf(model, { ...batch, inputs: ids, targets }),
      );
      for (let i = 0; i < before!.length; i++) {
        if (Math.floor(i / V) % blockSize < half) assert.ok(Object.is(before![i], after![i]));
      }
    },
    true,
  );

  test(`weights in panels give the bits of weights in rows (${name})`, () => {
    engine.run(() => {
      for (const [, config] of styles) {
        const model = smallModel(config);
        const batch = randomBatch(config, { batchSize: 3, blockSize: 7, packed: true });
        const inRows = logitsOf(model, batch);
        model.freeze();
        assert.equal(logitsOf(model, batch), inRows);
        model.setRequiresGrad(true);
        assert.ok([...model.parameters()].every((parameter) => !parameter.packed));
        assert.equal(logitsOf(model, batch), inRows);
        model.dispose();
      }
    });
  });

  // A document's place in its row decides where attention's blocks of keys begin, hence how its sums are split: not
  // the same bits, but float32's error all the same. Twice the error of the document alone leaves room for chance.
  test(`documents packed into a row have the logits that they have alone (${name})`, () => {
    engine.run(() => {
      for (const [family, config] of styles) {
        const model = smallModel(config);
        const weights = weightsOf(model.stateDict());
        const V = config.vocabSize;
        const row = randomBatch(config, { batchSize: 1, blockSize: 48, packed: true, seed: 3 });
        const packed = logitsOf(model, row);
        let [errorPacked, errorAlone, documents] = [0, 0, 0];
        for (let from = 0; from < 48; ) {
          let to = from + 1;
          while (to < 48 && row.starts[to] === from) to++;
          const inputs = row.inputs.slice(from, to);
          const positions = inputs.map((_, t) => t);
          const starts = new Int32Array(to - from);
          const alone = {
            batchSize: 1,
            blockSize: to - from,
            inputs,
            targets: inputs,
            starts,
            positions,
          };
          const truth = referenceLogits(config, weights, alone).data;
          errorPacked += distance(packed.subarray(from * V, to * V), truth);
          errorAlone += distance(logitsOf(model, alone), truth);
          documents++;
          from = to;
        }
        assert.ok(documents > 3);
        assert.ok(errorPacked <= 2 * errorAlone, `${family}: ${errorPacked}, alone ${errorAlone}`);
        model.dispose();
      }
    });
  });

  test(`a scope's records run again give the same bits, and those of new input (${name})`, () => {
    engine.run(() => {
      for (const [, config] of styles) {
        const model = made(config, "adapted", 4);
        model.train();
        const [first, second] = [1, 2].map((start) =>
          randomBatch(config, { batchSize: 2, blockSize: 9, seed: start }),
        );
        const shape = [2, 9];
        const eager = [first!, second!].map((batch) => logitsOf(model, batch));
        scope(() => {
          const ids = tensor(first!.inputs, { shape });
          const logits = model.forward(ids);
          const hidden = model.hidden(ids);
          assert.equal(logits.toArray(), eager[0]);
          const { records } = engine.stats();
          for (const [i, batch] of [
            [1, second!],
            [0, first!],
          ] as const) {
            ids.set(batch.inputs);
            assert.is(engine.wasm.replay(), 1);
            assert.equal(logits.toArray(), eager[i]);
          }
          assert.is(engine.stats().records, records);
          assert.is(hidden.shape.at(-1), config.hiddenSize);
        });
        model.dispose();
      }
    });
  });
}

test.run();
