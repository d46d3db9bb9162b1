// Captured functions of plain tensors: what they take as inputs, what they refuse, and what becomes of memory.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { inEngine } from "../support/inEngine.ts";

inEngine(
  "arrays among the arguments are inputs, also deep in objects and shared by two tensors",
  () => {
    const step = capture((batch: { readonly parts: readonly Float32Array[] }, factor: number) => {
      const [a, b] = batch.parts as [Float32Array, Float32Array];
      const sum = tensor(a)
        .add(tensor(b))
        .add(tensor(a, { shape: [2, 1] }));
      return { sum, scaled: sum.mul(factor) };
    });
    const call = (a: number[], b: number[], factor: number): number[][] => {
      const parts = [Float32Array.from(a), Float32Array.from(b)];
      const { sum, scaled } = step({ parts }, factor);
      return [[...sum.toArray()], [...scaled.toArray()]];
    };
    // [a0 + b0 + a0, a1 + b1 + a0], [a0 + b0 + a1, a1 + b1 + a1]
    assert.equal(call([1, 2], [10, 20], 2), [
      [12, 23, 13, 24],
      [24, 46, 26, 48],
    ]);
    assert.equal(call([3, 4], [50, 60], 2), [
      [56, 67, 57, 68],
      [112, 134, 114, 136],
    ]);
    assert.is(step.recordings, 1);
    assert.equal(call([3, 4], [50, 60], 10)[1], [560, 670, 570, 680]);
    assert.is(step.recordings, 2, "a number that was read is part of the program");
    step.dispose();
  },
);

inEngine("what is not read of the arguments does not matter", () => {
  const step = capture((batch: { ids: Int32Array; trained: number }) =>
    tensor(batch.ids).reshape([3, 1]),
  );
  for (let i = 0; i < 3; i++) {
    const ids = Int32Array.of(i, i + 1, i + 2);
    assert.equal(step({ ids, trained: i }).toArray(), ids);
  }
  assert.is(step.recordings, 1);
  step({ ids: Int32Array.of(1, 2, 3), trained: 0 });
  assert.throws(() => step({ ids: Int32Array.of(1), trained: 0 }), /3, ?1/);
  step.dispose();
});

inEngine("the result's tensors are overwritten by the next call, and go with the program", () => {
  const step = capture((x: Float32Array) => tensor(x).mul(2));
  const first = step(Float32Array.of(1));
  assert.is(first.item(), 2);
  assert.is(step(Float32Array.of(5)), first);
  assert.is(first.item(), 10);
  step(Float32Array.of(1, 2));
  assert.throws(
    () => first.item(),
    /the captured step that gave it was recorded anew or disposed of/,
  );
  const last = step(Float32Array.of(1, 2));
  step.dispose();
  assert.throws(
    () => last.item(),
    /the captured step that gave it was recorded anew or disposed of/,
  );
  assert.equal(
    step(Float32Array.of(3, 4)).toArray(),
    Float32Array.of(6, 8),
    "and it can be used again",
  );
  step.dispose();
});

inEngine("gradients of leaves add up over replays, those of tensors made inside do not", () => {
  const run = (captured: boolean): (Float32Array | null)[] => {
    const w = tensor([2, 3], { requiresGrad: true, persistent: true });
    const body = (x: Float32Array): void => {
      const inner = tensor(x, { requiresGrad: true });
      w.mul(inner).sum().backward();
      // The inner gradient counts for the norm that both are clipped to.
      clipGradNorm([w, inner], 4);
    };
    const step = capture(body);
    const gradients = [1, 2, 3].map((i) => {
      const x = Float32Array.of(i, 1);
      if (captured) step(x);
      else scope(() => body(x));
      return w.grad;
    });
    assert.is(step.recordings, captured ? 1 : 0);
    step.dispose();
    w.dispose();
    return gradients;
  };
  assert.equal(run(true), run(false));
});

inEngine("scopes inside cut history as they do elsewhere, and noGrad holds in replays", () => {
  const run = (captured: boolean): number[] => {
    const w = tensor([2], { requiresGrad: true, persistent: true });
    let smuggled: Tensor | undefined;
    const body = (x: Float32Array): Tensor => {
      const cut = noGrad(() => w.mul(10));
      const y = scope(() => {
        smuggled = w.mul(5);
        return w.mul(tensor(x));
      });
      assert.throws(() => smuggled!.mul(2), /the scope that made it had closed/);
      assert.throws(() => y.sum().backward(), /nothing to differentiate/);
      const z = y.mul(w).add(cut);
      z.sum().backward();
      return z;
    };
    const step = capture(body);
    const seen = [3, 4, 5].flatMap((value) => {
      const x = Float32Array.of(value);
      const z = captured ? step(x).item() : scope(() => body(x).item());
      return [z, ...w.grad!];
    });
    assert.is(step.recordings, captured ? 1 : 0);
    step.dispose();
    w.dispose();
    return seen;
  };
  // y = 2x, cut = 20, z = 2y + 20, and z's gradient is y
  assert.equal(run(false), [32, 6, 36, 14, 40, 24]);
  assert.equal(run(true), run(false));
});

inEngine("a call under noGrad is another program", () => {
  const w = tensor([2], { requiresGrad: true, persistent: true });
  const step = capture((x: Float32Array) => {
    const y = w.mul(tensor(x));
    if (y.requiresGrad) y.sum().backward();
  });
  const x = Float32Array.of(3);
  step(x);
  assert.equal(w.grad, Float32Array.of(3));
  noGrad(() => step(x));
  assert.equal(w.grad, Float32Array.of(3));
  step(x);
  assert.equal(w.grad, Float32Array.of(6));
  assert.is(step.recordings, 3);
  step.dispose();
  w.dispose();
});

inEngine("a frozen weight in panels that is used in rows is read anew by each replay", () => {
  const w = tensor(
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    { persistent: true },
  );
  w.pack();
  const step = capture(() => w.add(0));
  assert.equal(step().toArray(), Float32Array.of(1, 2, 3, 4, 5, 6));
  assert.equal(step().toArray(), Float32Array.of(1, 2, 3, 4, 5, 6));
  w.set([6, 5, 4, 3, 2, 1]);
  assert.equal(step().toArray(), Float32Array.of(6, 5, 4, 3, 2, 1));
  step.dispose();
  w.dispose();
});

inEngine("gradients left elsewhere are noticed, and stepped as they would be", () => {
  const made = (): readonly [Tensor, Tensor, AdamW] => {
    const a = tensor([1], { requiresGrad: true, persistent: true });
    const b = tensor([1], { requiresGrad: true, persistent: true });
    return [a, b, new AdamW([a, b], { lr: 0.1 })];
  };
  const values = [false, true].map((captured) => {
    const [a, b, optimizer] = made();
    const body = (x: Float32Array): void => {
      a.mul(tensor(x)).sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
    };
    const step = capture(body);
    const run = (x: Float32Array): void => (captured ? step(x) : scope(() => body(x)));
    run(Float32Array.of(2));
    run(Float32Array.of(3));
    scope(() => b.mul(5).sum().backward());
    run(Float32Array.of(4));
    assert.is(step.recordings, captured ? 2 : 0);
    const result = [a.item(), b.item()];
    step.dispose();
    optimizer.dispose();
    a.dispose();
    b.dispose();
    return result;
  });
  assert.equal(values[1], values[0]);
  assert.is.not(values[0]![1], 1);
});

inEngine("an index that is out of range stops a replay with the op's own error", () => {
  const table = tensor([[1], [2], [3]], { requiresGrad: true, persistent: true });
  const step = capture((ids: Int32Array) => {
    const rows = embedding(tensor(ids), table);
    rows.sum().backward();
    return rows;
  });
  assert.equal(step(Int32Array.of(0, 2)).toArray(), Float32Array.of(1, 3));
  table.zeroGrad();
  assert.throws(() => step(Int32Array.of(0, 3)), /3 at \[1\]/);
  assert.is(table.grad, null);
  assert.equal(step(Int32Array.of(1, 1)).toArray(), Float32Array.of(2, 2));
  assert.equal(table.grad, Float32Array.of(0, 2, 0));
  step.dispose();
  table.dispose();
});

test.run();
