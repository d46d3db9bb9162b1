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

inFirst(
  "a gradient is null until a backward pass has reached its tensor, and after zeroGrad",
  () => {
    const kept = tensor([1, 2], { requiresGrad: true });
    scope(() => {
      const [x, unused] = [0, 1].map(() => tensor([3, 4], { requiresGrad: true }));
      const between = x!.mul(kept);
      between.retainGrad();
      const all = [kept, x!, between, unused!, x!.reshape([2, 1])];
      assert.equal(
        all.map(({ grad }) => grad),
        [null, null, null, null, null],
      );
      const loss = between.sum();
      const expected = [[3, 4], [1, 2], [1, 1], null, [1, 2]];
      for (const _ of [1, 2]) {
        loss.backward();
        assert.equal(
          all.map(({ grad }) => grad && [...grad]),
          expected,
        );
        for (const reached of all) reached.zeroGrad();
        assert.equal(
          all.map(({ grad }) => grad),
          [null, null, null, null, null],
        );
      }
      const alone = tensor(3, { requiresGrad: true });
      alone.backward();
      assert.equal([...(alone.grad ?? [])], [1]);
      // Reached, though nothing comes: zeros are a gradient.
      x!.mul(0).sum().backward();
      assert.equal([...(x!.grad ?? [])], [0, 0]);
    });
    kept.dispose();
  },
);

test.run();
