// The listing of the tape: what was recorded, from what, how large, how long, and with which gradients.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { listTape } from "../../src/tensor/tape.ts";
import { engine, inEngine } from "../support/inEngine.ts";
import { llamaStyle, randomBatch, smallModel } from "../support/models.ts";

inEngine(
  "ops come in order, after the leaves that they start from, with shapes, sources and bytes",
  () => {
    const w = tensor([[3], [4]], { requiresGrad: true, persistent: true });
    scope(() => {
      const x = tensor([[1, 2]]);
      const y = x.matmul(w);
      y.retainGrad();
      y.reshape([1]).mul(y).sum().backward();
      const shown = listTape().map(({ milliseconds: _, ...entry }) => entry);
      const leaf = { op: "Leaf", sources: [], requiresGrad: false, gradNorm: null } as const;
      // y = 11, d(y²)/dy = 22, d(y²)/dw = 22·x, of norm 22·sqrt(5)
      assert.equal(shown, [
        { ...leaf, shape: [1, 2], bytes: 8 },
        {
          ...leaf,
          shape: [2, 1],
          bytes: 8,
          requiresGrad: true,
          gradNorm: Math.sqrt(22 * 22 + 44 * 44),
        },
        {
          op: "Matmul",
          shape: [1, 1],
          sources: [0, 1],
          requiresGrad: true,
          bytes: 4,
          gradNorm: 22,
        },
        { op: "Reshape", shape: [1], sources: [2], requiresGrad: true, bytes: 0, gradNorm: 22 },
        { op: "Mul", shape: [1, 1], sources: [3, 2], requiresGrad: true, bytes: 4, gradNorm: null },
        { op: "Sum", shape: [], sources: [4], requiresGrad: true, bytes: 4, gradNorm: null },
      ]);
    });
    w.dispose();
  },
);

inEngine("a LoRA linear is one entry, and listing changes no value and no gradient", () => {
  const model = smallModel(llamaStyle);
  const adapter = injectLora(model, { r: 2, targetModules: ["q_proj"] });
  const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 9 });
  scope(() => {
    const loss = model.loss(batch);
    loss.backward();
    const before = [loss.item(), ...adapter.parameters()].map((t) =>
      typeof t === "number" ? t : t.grad,
    );
    const listed = listTape();
    assert.equal(
      [loss.item(), ...adapter.parameters()].map((t) => (typeof t === "number" ? t : t.grad)),
      before,
    );
    // q, k, v, o, gate, up, down in each of two layers, and the head
    const linears = listed.filter(({ op }) => op === "Linear");
    assert.is(linears.length, 15);
    assert.is(linears.filter(({ sources }) => sources.length === 4).length, 2);
    assert.ok(listed.every(({ milliseconds }) => milliseconds >= 0));
  });
  model.dispose();
});

inEngine("an op is measured by running it: 33 million operations take time", () => {
  scope(() => {
    const x = ones([256, 256]);
    x.matmul(x);
    assert.ok((listTape().at(-1)?.milliseconds ?? 0) > 0);
  });
});

test("outside of scopes there is no tape", () => {
  assert.throws(() => listTape(engine), /no tape outside of scopes/);
});

test.run();
