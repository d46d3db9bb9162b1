// Gradients of a scope's own tensors: kept ones, and how they are set back.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";

const first = (await engines())[0]?.engine ?? (await Engine.create());

function inFirst(name: string, body: () => void): void {
  test(name, () => first.run(body));
}

inFirst("backward passes on the gradient of one pass, whatever it kept in passes before", () => {
  const w = tensor([1, 2], { requiresGrad: true });
  scope(() => {
    const kept = w.mul(3);
    kept.retainGrad();
    const loss = kept.mul(5).sum();
    loss.backward();
    loss.backward();
    assert.equal([...(kept.grad ?? [])], [10, 10]);
    assert.equal([...(w.grad ?? [])], [30, 30]);
    // A pass that does not lead to the kept tensor leaves it alone.
    w.sum().backward();
    assert.equal([...(kept.grad ?? [])], [10, 10]);
    assert.equal([...(w.grad ?? [])], [31, 31]);
  });
  w.dispose();
});

inFirst(
  "a gradient cannot be kept in a scope within the tensor's own, where it would not last",
  () => {
    const w = tensor([1, 2], { requiresGrad: true });
    scope(() => {
      const outer = w.mul(3);
      scope(() => {
        for (const t of [outer, outer.reshape([2, 1])]) {
          assert.throws(
            () => t.retainGrad(),
            (error: unknown) =>
              error instanceof UsageError && /scope that made/.test(error.message),
          );
        }
        const inner = outer.mul(2);
        inner.retainGrad();
        inner.sum().backward();
        assert.equal([...(inner.grad ?? [])], [1, 1]);
      });
      assert.is(outer.grad, null);
    });
    assert.equal([...(w.grad ?? [])], [6, 6]);
    w.dispose();
  },
);

inFirst("zeroGrad sets the gradient of a scope's own leaf to 0", () => {
  scope(() => {
    const x = tensor([1, 2], { requiresGrad: true });
    const loss = x.mul(2).sum();
    loss.backward();
    x.zeroGrad();
    loss.backward();
    assert.equal([...(x.grad ?? [])], [2, 2]);
  });
});

test.run();
