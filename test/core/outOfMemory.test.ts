// Memory that runs out halfway: what was made so far is given back, and all is as it was.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { MemoryError } from "../../src/core/error.ts";
import { buildModel, modelFiles } from "../../src/io/model.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import { SelfAttention } from "../../src/nn/attention.ts";
import { Block } from "../../src/nn/block.ts";
import { KvCache } from "../../src/nn/cache.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Mlp } from "../../src/nn/mlp.ts";
import { LayerNorm } from "../../src/nn/norm.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { capture } from "../../src/tensor/capture.ts";
import { arange, tensor, zeros } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { normal } from "../../src/tensor/random.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { failsCleanly, smallEngine } from "../support/exhaustion.ts";
import { llamaStyle, smallModel, styles } from "../support/models.ts";

const engine = await smallEngine();

for (const [style, config] of styles) {
  const init = normalInitializer(1);
  const small = { ...config, layers: 1 };
  const parts: readonly (readonly [string, () => { dispose(): void }])[] = [
    ["linear layer", () => new Linear(24, 40, {}, init)],
    ["layer norm", () => new LayerNorm(24, 1e-5, init)],
    ["MLP", () => new Mlp(small, init)],
    ["attention", () => new SelfAttention(small, init)],
    ["block", () => new Block(small, init)],
    ["model", () => new Transformer(small, init)],
    ["cache", () => new KvCache(config, 1, 10)],
  ];
  for (const [name, make] of parts) {
    test(`a ${name} that does not fit into memory leaves nothing there (${style})`, () => {
      const { failures, result } = failsCleanly(engine, make);
      assert.ok(failures > 1, `${failures}`);
      result.dispose();
    });
  }

  test(`stored weights that do not fit into memory leave nothing there (${style})`, () => {
    const model = engine.run(() => smallModel(small));
    const stored = readSafetensors(modelFiles(model).get("model.safetensors")!, "weights");
    model.dispose();
    const { failures, result } = failsCleanly(engine, () => buildModel(small, stored.tensors));
    assert.ok(failures > 1, `${failures}`);
    result.dispose();
  });

  test(`an adapter that does not fit into memory leaves the model as it was (${style})`, () => {
    // Weights of whole panels, as others keep the room of their last one once they have been packed.
    const whole = { ...small, vocabSize: 64, kvHeads: 4 };
    const model = engine.run(() => smallModel(whole));
    const same = () => [
      [...model.namedModules()].map(([path, module]) => `${path} ${module.constructor.name}`),
      [...adaptersOf(model).adapters.keys()],
      adaptersOf(model).active,
      [...model.namedParameters()].map(([name, parameter]) => [
        ...[name, parameter.prepack, parameter.requiresGrad],
        ...parameter.toArray(),
      ]),
    ];
    // The first one freezes and packs the model, the second one packs it once more.
    const adapters = (["forward", "both"] as const).map((prepack) => {
      const options = { r: 4, targetModules: "all-linear", prepack };
      const inject = () => injectLora(model, options, { adapterName: prepack });
      const { failures, result } = failsCleanly(engine, inject, { step: 576, same });
      assert.ok(failures > 1, `${failures}`);
      assert.ok([...model.parameters()].some((parameter) => parameter.prepack === prepack));
      return result;
    });
    for (const adapter of adapters) adapter.remove();
    model.dispose();
  });
}

test("a merged weight that does not fit into memory leaves the adapter unmerged", () => {
  const model = engine.run(() => smallModel({ ...llamaStyle, layers: 1 }));
  const adapter = engine.run(() => injectLora(model, { targetModules: "all-linear" }));
  const same = () => [adapter.merged, ...[...model.namedParameters()].map(([name]) => name)];
  const { failures } = failsCleanly(engine, () => adapter.merge(), { step: 320, same });
  assert.ok(failures > 1 && adapter.merged, `${failures}`);
  model.dispose();
});

test("a scope whose results do not all fit outside leaves none of them there", () => {
  // Inside, all share their data.
  const act = () =>
    scope(() => {
      const x = arange(0, 300);
      return Array.from({ length: 6 }, () => x.reshape([2, 150]));
    });
  const { failures, result } = failsCleanly(engine, act);
  assert.ok(failures > 1, `${failures}`);
  for (const copy of result) {
    assert.equal([...copy.toArray().slice(0, 3)], [0, 1, 2]);
    copy.dispose();
  }
});

test("a tensor that a scope returns twice is copied once", () => {
  engine.run(() => {
    const { persistentBytes } = engine.stats();
    const [a, b] = scope(() => {
      const x = tensor([1, 2]);
      return [x, x];
    });
    assert.is(a, b);
    a!.dispose();
    const arena = engine.wasm.allocate(2 ** 31);
    assert.is(arena, 0);
    assert.ok(engine.stats().persistentBytes <= persistentBytes);
  });
});

test("packed weights that an op reads in rows leave no copies when memory runs out", () => {
  const [a, b] = engine.run(() => [normal([16, 8], { seed: 1 }), normal([8, 16], { seed: 2 })]);
  const expected = engine.run(() => a!.matmul(b!));
  a!.pack();
  b!.pack();
  const { failures, result } = failsCleanly(engine, () => a!.matmul(b!));
  assert.ok(failures > 1, `${failures}`);
  assert.equal(result.toArray(), expected.toArray());
  for (const each of [a!, b!, expected, result]) each.dispose();
});

test("backward that runs out of memory changes no gradient, and works when there is more", () => {
  const [w, a, b, seen] = engine.run(() => [
    normal([24, 16], { seed: 1, requiresGrad: true }),
    normal([4, 16], { seed: 2, requiresGrad: true }),
    normal([24, 4], { seed: 3, requiresGrad: true }),
    normal([24], { seed: 4, requiresGrad: true }),
  ]) as [Tensor, Tensor, Tensor, Tensor];
  const leaves = [w, a, b, seen];
  const loss = (): Tensor => {
    const y = linear(zeros([40, 16]).add(0.5), w, seen, { a, b, scale: 2 });
    return y.softmax().mul(y).add(y.transpose(0, 1).sum()).sum();
  };
  const gradients = (): unknown => leaves.map(({ grad }) => grad?.slice());
  // One leaf has a gradient already, to which a part of a pass must not be added.
  engine.run(() => scope(() => seen.mul(3).sum().backward()));
  const before = gradients();
  const { failures } = failsCleanly(engine, () => scope(() => loss().backward()), {
    step: 320,
    same: gradients,
  });
  assert.ok(failures > 10, `${failures}`);
  const after = gradients();
  for (const leaf of leaves) leaf.zeroGrad();
  engine.run(() => {
    scope(() => seen.mul(3).sum().backward());
    assert.equal(gradients(), before);
    scope(() => loss().backward());
  });
  assert.equal(gradients(), after);
  for (const leaf of leaves) leaf.dispose();
});

test("a captured step that would need more than 4 GiB says that memory ran out, and nothing else", async () => {
  // One of which nothing has been asked in vain.
  const engine = await smallEngine();
  const [column, row] = engine.run(() => [
    normal([16384, 1], { seed: 1, requiresGrad: true }),
    normal([1, 16384], { seed: 2 }),
  ]) as [Tensor, Tensor];
  // Values of 1 GiB each, which backward reads: none of them is made before the plan.
  const step = capture(() => {
    const loss = composite(column, () => {
      let y = column.add(row);
      for (let i = 0; i < 5; i++) y = y.mul(y);
      return y.sum();
    });
    loss.backward();
    return loss;
  });
  engine.run(() => {
    for (let i = 0; i < 2; i++)
      assert.throws(step, (error: unknown) => error instanceof MemoryError);
    assert.is(
      scope(() => column.mul(2).sum().item()),
      2 * scope(() => column.sum().item()),
    );
  });
  assert.is(column.grad, null);
  engine.close();
});

test.run();
