// What training does and what it leaves undone, read from the engine's counters: so that no shortcut passes for a
// LoRA step, and no hidden copy for a frozen weight.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import type { LoraOptions } from "../../src/adapters/loraConfig.ts";
import type { CounterName } from "../../src/core/op.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";
import { llamaStyle, randomBatch, smallModel, styles } from "../support/models.ts";

const all = await engines();
const { engine } = all[1]!;

/** By how much each counter has changed while `run` ran. */
function counted(run: () => void, one = engine): Record<CounterName, number> {
  const before = one.stats();
  run();
  const after = one.stats();
  const names = Object.keys(before).filter((key) => key !== "threadWork") as CounterName[];
  return Object.fromEntries(names.map((key) => [key, after[key] - before[key]])) as Record<
    CounterName,
    number
  >;
}

function inEngine(name: string, body: () => void): void {
  test(name, () => engine.run(body));
}

const lossStep = (model: Transformer, batch: TokenBatch): number =>
  scope(() => {
    const loss = model.loss(batch);
    loss.backward();
    return loss.item();
  });

const linears = (model: Transformer): number =>
  [...model.namedModules()].filter(([, module]) => module.kind === "linear").length;

inEngine("a linear with LoRA is one record, with and without dropout and bias", () => {
  const leaf = (shape: readonly number[]): Tensor => zeros(shape, { persistent: true });
  const [x, w, a, b, bias] = [[5, 8], [6, 8], [2, 8], [6, 2], [6]].map(leaf) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  a.requiresGrad = true;
  b.requiresGrad = true;
  const layer = new Linear(8, 6, { weight: w, bias: false });
  for (const one of [bias, null]) {
    for (const dropout of [0, 0.5]) {
      const records = (run: () => unknown): number =>
        counted(() => scope(() => void run())).records;
      assert.is(
        records(() => linear(x, w, one, { a, b, scale: 2, dropout })),
        1,
      );
    }
  }
  assert.is(counted(() => scope(() => void layer.forward(x))).records, 1);
  for (const t of [x, w, a, b, bias]) t.dispose();
});

for (const [family, config] of styles) {
  inEngine(`an adapter adds no record to a model's tape (${family})`, () => {
    const model = smallModel(config);
    const batch = randomBatch(config, { batchSize: 2, blockSize: 6 });
    const forward = (): Record<CounterName, number> =>
      counted(() => scope(() => void model.loss(batch)));
    const plain = forward();
    injectLora(model, { r: 2, targetModules: "all-linear" });
    const adapted = forward();
    assert.is(adapted.records, plain.records);
    // All linear layers but the head carry the branch, of two products.
    assert.is(adapted.productForward, linears(model));
    assert.is(adapted.productLowRank, 2 * (linears(model) - 1));
    model.dispose();
  });

  inEngine(
    `frozen weights have no dW and no gradient; what trains has both, byte for byte (${family})`,
    () => {
      const model = smallModel(config);
      const batch = randomBatch(config, { batchSize: 2, blockSize: 6 });
      const full = counted(() => lossStep(model, batch));
      assert.is(full.productWeightGradient, linears(model));
      assert.is(full.leafGradientBytes, 4 * model.countParameters());
      assert.is(full.productLowRank, 0);
      for (const parameter of model.parameters()) parameter.zeroGrad();

      const adapter = injectLora(model, { r: 3, targetModules: "all-linear" });
      const trains = adapter.countParameters();
      assert.is(model.countParameters({ trainable: true }), trains);
      const lora = counted(() => lossStep(model, batch));
      assert.is(lora.productWeightGradient, 0);
      assert.is(lora.leafGradientBytes, 4 * trains);
      for (const [name, parameter] of model.namedParameters()) {
        assert.is(parameter.grad !== null, /lora_[AB]/.test(name), name);
      }
      const optimizer = new AdamW(model.trainableParameters());
      assert.is(counted(() => optimizer.step()).optimizerBytes, 8 * trains);
      assert.is(counted(() => optimizer.zeroGrad()).leafGradientBytes, -4 * trains);
      lossStep(model, batch);
      assert.is(counted(() => optimizer.step()).optimizerBytes, 0);
      assert.is(counted(() => optimizer.dispose()).optimizerBytes, -8 * trains);
      model.dispose();
      assert.is(engine.stats().leafGradientBytes, 0);
    },
  );
}

inEngine("nothing runs backward below the lowest trainable layer", () => {
  const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 6 });
  const backward = (options: LoraOptions): Record<CounterName, number> => {
    const model = smallModel(llamaStyle);
    injectLora(model, { r: 2, ...options });
    const result = counted(() => {
      scope(() => {
        const loss = model.loss(batch);
        const before = engine.stats();
        loss.backward();
        const after = engine.stats();
        work = after.productInputGradient - before.productInputGradient;
        low = after.productLowRank - before.productLowRank;
      });
    });
    model.dispose();
    return result;
  };
  let [work, low] = [0, 0];
  // q_proj of the upper of two layers: dX of the head, down, gate, up and o_proj, none of q_proj itself; and of its
  // branch dt, dA and dB.
  const upper = backward({ targetModules: ["q_proj"], layersToTransform: 1 });
  assert.equal([work, low], [5, 3]);
  // In the lower one: all seven layers of the upper one, too, and nothing more of the lower one's q_proj.
  const lower = backward({ targetModules: ["q_proj"], layersToTransform: 0 });
  assert.equal([work, low], [5 + 7, 3]);
  // The upper layer's down_proj: the head's dX alone; its own has nowhere to go.
  const top = backward({ targetModules: ["down_proj"], layersToTransform: 1 });
  assert.equal([work, low], [1, 3]);
  assert.ok(top.intermediateGradients < upper.intermediateGradients);
  assert.ok(upper.intermediateGradients <= lower.intermediateGradients);
});

inEngine("frozen weights lie in memory once", () => {
  // A block is whole lines of 64 bytes and may have one more; a tensor is a record of 152 bytes and its numbers.
  const [record, slack] = [192, 64];
  const before = engine.stats().persistentBytes;
  const model = smallModel(llamaStyle);
  model.freeze();
  const batch = randomBatch(llamaStyle, { batchSize: 1, blockSize: 4 });
  let [least, most] = [0, 0];
  for (const parameter of model.parameters()) {
    const [rows = 0, columns = 1] = parameter.shape;
    const stored = parameter.packed ? Math.ceil(rows / 8) * 8 * columns : parameter.size;
    const bytes = Math.ceil(stored / 16) * 64;
    least += record + bytes;
    most += record + bytes + 2 * slack;
  }
  assert.is([...model.parameters()].filter((parameter) => parameter.packed).length, linears(model));
  const held = engine.stats().persistentBytes - before;
  assert.ok(held >= least && held <= most, `${held} bytes for ${least} to ${most}`);
  // Nor does a second form of them appear while they work: what stays behind the first step stays as it is.
  injectLora(model, { r: 2, targetModules: "all-linear" });
  const step = (): void => {
    lossStep(model, batch);
    for (const parameter of model.parameters()) parameter.zeroGrad();
  };
  step();
  assert.is(counted(step).persistentBytes, 0);
  model.dispose();
});

for (const { name, engine: two } of all.filter(({ engine: e }) => e.threads === 2)) {
  test(`both threads take part in a LoRA step (${name})`, () => {
    two.run(() => {
      const model = smallModel(llamaStyle);
      injectLora(model, { r: 4, targetModules: "all-linear" });
      const batch = randomBatch(llamaStyle, { batchSize: 8, blockSize: 48 });
      const before = two.stats().threadWork;
      const { parallelJobs } = counted(() => lossStep(model, batch), two);
      const work = two.stats().threadWork.map((done, thread) => done - before[thread]!);
      const total = work.reduce((sum, done) => sum + done, 0);
      assert.is(work.length, 2);
      for (const done of work) assert.ok(done >= total / 4, `${work}`);
      assert.ok(parallelJobs > 2 * linears(model));
      model.dispose();
    });
  });
}

test("the arena of a step of 2048 tokens is below 2.2 times that of 1024: no T×T matrix", async () => {
  const { Engine } = await import("../../src/core/engine.ts");
  for (const [, config] of styles) {
    const peaks: number[] = [];
    for (const blockSize of [1024, 2048]) {
      const fresh = await Engine.create({ threads: 1 });
      fresh.run(() => {
        const model = smallModel({ ...config, maxPositions: 2048 });
        injectLora(model, { r: 2, targetModules: "all-linear" });
        lossStep(model, randomBatch(config, { batchSize: 1, blockSize }));
      });
      peaks.push(fresh.stats().arenaPeak + fresh.stats().scratchBytes);
    }
    assert.ok(peaks[1]! < 2.2 * peaks[0]!, `${peaks}`);
  }
});

test("1,000 LoRA training steps of a tiny model leave the memory where it was", () => {
  const tiny: ModelConfig = {
    ...llamaStyle,
    hiddenSize: 8,
    heads: 2,
    kvHeads: 1,
    headDim: 4,
    layers: 1,
    intermediateSize: 8,
  };
  engine.run(() => {
    const model = smallModel(tiny);
    const adapter = injectLora(model, { r: 2, loraDropout: 0.1, targetModules: "all-linear" });
    const optimizer = new AdamW(adapter.parameters(), { lr: 1e-3 });
    const batches = [1, 2, 3].map((seed) =>
      randomBatch(tiny, { batchSize: 2, blockSize: 6, seed, packed: true }),
    );
    model.train();
    const steps = (count: number): void => {
      for (let i = 0; i < count; i++) {
        lossStep(model, batches[i % 3]!);
        optimizer.step();
        optimizer.zeroGrad();
      }
    };
    const state = (): readonly number[] => {
      const { persistentBytes, arenaBytes, arenaPeak, scratchBytes, leafGradientBytes } =
        engine.stats();
      return [
        engine.memoryBytes,
        persistentBytes,
        arenaBytes,
        arenaPeak,
        scratchBytes,
        leafGradientBytes,
      ];
    };
    steps(3);
    const before = state();
    steps(1000);
    assert.equal(state(), before);
    optimizer.dispose();
    model.dispose();
  });
});

inEngine("a model and its adapter give back all their memory", () => {
  const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 6 });
  const life = (): void => {
    const model = smallModel(llamaStyle);
    const adapter = injectLora(model, { r: 2, targetModules: "all-linear" });
    const optimizer = new AdamW(adapter.parameters());
    lossStep(model, batch);
    optimizer.step();
    adapter.merge();
    optimizer.dispose();
    model.dispose();
    tensor([0]).dispose();
  };
  life();
  assert.is(counted(life).persistentBytes, 0);
});

test.run();
