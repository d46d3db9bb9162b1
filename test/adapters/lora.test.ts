// LoRA on whole models: what it must leave alone, and what must come out the same to the bit.

import { createHash } from "node:crypto";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { disableAdapters, setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora, LoraLayer } from "../../src/adapters/lora.ts";
import type { LoraOptions } from "../../src/adapters/loraConfig.ts";
import { baseParameters } from "../../src/adapters/set.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { seed } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, randomBatch, smallModel, styles } from "../support/models.ts";
import { distance, referenceLogits, weightsOf } from "../support/referenceModel.ts";

const all = await engines();

/** SHA-256 of the base's parameters: names and bytes. */
function bytesOf(model: Transformer): string {
  const hash = createHash("sha256");
  for (const [name, parameter] of baseParameters(model)) {
    hash.update(name).update(new Uint8Array(parameter.toArray().buffer));
  }
  return hash.digest("hex");
}

/** Options of an adapter for either style; ranks that all weights allow. */
const options: fc.Arbitrary<LoraOptions> = fc.record({
  r: fc.integer({ min: 1, max: 9 }),
  loraAlpha: fc.constantFrom(1, 8, 16, 5),
  useRslora: fc.boolean(),
  initLoraWeights: fc.constantFrom(true, false, "gaussian" as const),
  targetModules: fc.constantFrom<string | string[]>(
    "all-linear",
    ".*(q_proj|v_proj|c_attn)",
    ["down_proj", "c_fc"],
    ["lm_head", "o_proj", "c_proj"],
  ),
});

const style = fc.constantFrom(...styles);

/** Some AdamW steps on what trains. */
function train(model: Transformer, steps: number, start: number): void {
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-2 });
  for (let step = 0; step < steps; step++) {
    const batch = randomBatch(model.config, { batchSize: 2, blockSize: 9, seed: start + step });
    scope(() => model.loss(batch).backward());
    optimizer.step();
    optimizer.zeroGrad();
  }
  optimizer.dispose();
}

for (const { name, engine } of all) {
  const property = (
    what: string,
    numRuns: number,
    holds: (model: Transformer, options: LoraOptions, seed: number) => void,
  ): void => {
    test(`${what} (${name})`, () => {
      engine.run(() => {
        fc.assert(
          fc.property(style, options, seed, ([, config], chosen, start) => {
            const model = smallModel(config, start % 100);
            holds(model, chosen, start);
            model.dispose();
          }),
          { numRuns },
        );
      });
    });
  };

  property(
    "zeros written to a trained B give the base model bit for bit",
    12,
    (model, chosen, start) => {
      const batch = randomBatch(model.config, { batchSize: 2, blockSize: 11, seed: start });
      const before = logitsOf(model, batch);
      const loss = scope(() => model.loss(batch).item());
      const adapter = injectLora(model, chosen, { seed: start });
      train(model, 2, start);
      assert.not.equal(logitsOf(model, batch), before);
      for (const layer of adapter.layers.values()) {
        if (layer instanceof LoraLayer) layer.b.set(new Float32Array(layer.b.size));
      }
      expectSame(logitsOf(model, batch), before);
      assert.is(
        scope(() => model.loss(batch).item()),
        loss,
      );
    },
  );

  property("training changes A and B, and no byte of the base", 12, (model, chosen, start) => {
    const adapter = injectLora(model, chosen, { seed: start });
    const before = bytesOf(model);
    const factors = [...adapter.parameters()].map((parameter) => parameter.toArray());
    train(model, 3, start);
    assert.is(bytesOf(model), before);
    [...adapter.parameters()].forEach((parameter, i) => {
      assert.not.equal(parameter.toArray(), factors[i]);
    });
  });

  property("merge and unmerge restore every byte of the base", 10, (model, chosen, start) => {
    const adapter = injectLora(model, chosen, { seed: start });
    drawAdapter(adapter, start);
    const batch = randomBatch(model.config, { batchSize: 1, blockSize: 7, seed: start });
    const bytes = bytesOf(model);
    const logits = logitsOf(model, batch);
    const { persistentBytes } = engine.stats();
    adapter.merge();
    const merged = bytesOf(model);
    assert.is.not(merged, bytes);
    adapter.unmerge();
    assert.is(bytesOf(model), bytes);
    assert.equal(logitsOf(model, batch), logits);
    adapter.merge();
    assert.is(bytesOf(model), merged);
    adapter.unmerge();
    assert.is(engine.stats().persistentBytes, persistentBytes);
  });

  property(
    "switching adapters A → B → A, off and on gives the same bits",
    10,
    (model, chosen, start) => {
      const batch = randomBatch(model.config, {
        batchSize: 2,
        blockSize: 5,
        seed: start,
        packed: true,
      });
      const base = logitsOf(model, batch);
      const a = injectLora(model, chosen, { adapterName: "a", seed: start });
      drawAdapter(a, start);
      const withA = logitsOf(model, batch);
      const b = injectLora(model, { r: 3, targetModules: "all-linear" }, { adapterName: "b" });
      drawAdapter(b, start + 1);
      const withB = logitsOf(model, batch);
      setActiveAdapters(model, "a");
      assert.equal(logitsOf(model, batch), withA);
      disableAdapters(model);
      assert.equal(logitsOf(model, batch), base);
      b.activate();
      assert.equal(logitsOf(model, batch), withB);
      // The same through merged weights.
      a.activate();
      a.merge();
      const mergedA = logitsOf(model, batch);
      b.activate();
      b.merge();
      assert.equal([a.merged, b.merged], [false, true]);
      a.activate();
      assert.equal(logitsOf(model, batch), withA);
      a.merge();
      assert.equal(logitsOf(model, batch), mergedA);
      a.disable();
      assert.equal(logitsOf(model, batch), base);
    },
  );

  // The base's own error is the yardstick: what float32 costs this model on this batch. An adapter of usual size
  // changes the sums' sizes little, so its error is of the same kind; twice leaves room for chance.
  property(
    "merged and unmerged are within twice the base's own error",
    10,
    (model, chosen, start) => {
      const { config } = model;
      const batch = randomBatch(config, { batchSize: 4, blockSize: 12, seed: start, packed: true });
      const truth = referenceLogits(config, weightsOf(model.stateDict()), batch).data;
      const allowed = 2 * distance(logitsOf(model, batch), truth);
      const state = model.stateDict();
      const adapter = injectLora(model, { ...chosen, useRslora: false, loraAlpha: chosen.r ?? 8 });
      drawAdapter(adapter, start);
      for (const layer of adapter.layers.values()) {
        if (layer instanceof LoraLayer) layer.b.set(layer.b.toArray().map((x) => x / 4));
      }
      const adapted = referenceLogits(config, weightsOf(state, [adapter]), batch).data;
      const unmerged = distance(logitsOf(model, batch), adapted);
      adapter.merge();
      const merged = distance(logitsOf(model, batch), adapted);
      assert.ok(distance(adapted, truth) > 100 * allowed, "the adapter matters");
      assert.ok(unmerged <= allowed, `unmerged ${unmerged} > ${allowed}`);
      assert.ok(merged <= allowed, `merged ${merged} > ${allowed}`);
    },
  );
}

const { engine } = all[1]!;

for (const [family, config] of styles) {
  test(`100 cycles of merge and unmerge leave the base's bytes and the memory as they were (${family})`, () => {
    engine.run(() => {
      const model = smallModel(config);
      const adapter = injectLora(model, { r: 4, targetModules: "all-linear" });
      drawAdapter(adapter);
      const before = bytesOf(model);
      adapter.merge();
      const merged = bytesOf(model);
      adapter.unmerge();
      const { persistentBytes } = engine.stats();
      for (let cycle = 0; cycle < 100; cycle++) {
        adapter.merge();
        adapter.unmerge();
      }
      assert.is(bytesOf(model), before);
      assert.is(engine.stats().persistentBytes, persistentBytes);
      adapter.merge();
      assert.is(bytesOf(model), merged);
      model.dispose();
    });
  });
}

test("doubling r at fixed alpha halves the scale, with rslora divides it by √2", () => {
  engine.run(() => {
    fc.assert(
      fc.property(
        style,
        // Twice 6 is the most that v_proj [12, 24] allows.
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 64 }),
        ([, config], r, loraAlpha) => {
          const model = smallModel(config);
          const scaleAt = (rank: number, useRslora: boolean): number => {
            const adapter = injectLora(model, { r: rank, loraAlpha, useRslora });
            const scales = [...adapter.layers.values()].map((layer) => (layer as LoraLayer).scale);
            adapter.remove();
            assert.is(new Set(scales).size, 1);
            return scales[0]!;
          };
          // Halving is exact in binary.
          assert.is(scaleAt(2 * r, false), scaleAt(r, false) / 2);
          const ratio = scaleAt(r, true) / scaleAt(2 * r, true);
          // Two roots and three quotients, each rounded at 2^-53.
          assert.ok(Math.abs(ratio / Math.SQRT2 - 1) <= 6 * 2 ** -53);
          model.dispose();
        },
      ),
      { numRuns: 20 },
    );
  });
});

test("the same factors with as many zeros beside them have half the ΔW, bit for bit", () => {
  engine.run(() => {
    const [, config] = styles[1]!;
    const model = smallModel(config);
    const target = { targetModules: ["q_proj"], loraAlpha: 6 };
    const deltas = (r: number): Float32Array[] => {
      const adapter = injectLora(model, { ...target, r });
      drawAdapter(adapter);
      for (const layer of adapter.layers.values()) {
        if (!(layer instanceof LoraLayer)) continue;
        const [a, b] = [layer.a.toArray(), layer.b.toArray()];
        const k = layer.a.shape[1]!;
        // Factor (i, j) is the same number for both ranks; from rank 3 on it is 0.
        layer.a.set(a.map((_, i) => (i < 3 * k ? Math.fround(1 / (i + 1)) : 0)));
        layer.b.set(
          b.map((_, i) => (i % r < 3 ? Math.fround(1 / (3 + Math.floor(i / r) + (i % r))) : 0)),
        );
      }
      const found = [...adapter.layers.values()].map((layer) =>
        noGrad(() => scope(() => (layer as LoraLayer).delta().toArray() as Float32Array)),
      );
      adapter.remove();
      return found;
    };
    const [three, six] = [deltas(3), deltas(6)];
    three.forEach((delta, i) => {
      expectSame(
        six[i]!,
        delta.map((value) => value / 2),
      );
    });
    model.dispose();
  });
});

test.run();
