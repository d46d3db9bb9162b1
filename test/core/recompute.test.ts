// Segments that backward runs again: the same values and gradients, less memory, and clear errors for what is gone.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ReleasedError, UsageError } from "../../src/core/error.ts";
import { capture } from "../../src/tensor/capture.ts";
import { full, ones, tensor } from "../../src/tensor/create.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { listTape } from "../../src/tensor/tape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { inEngine } from "../support/inEngine.ts";

const plain = <T>(fn: () => T): T => fn();
type Around = typeof plain;

const parameter = (...values: number[]): Tensor =>
  tensor(values, { requiresGrad: true, persistent: true });

/** The gradients of w [3] that `body` leaves, plain and recomputed, eager and captured. */
function expectAlike(body: (w: Tensor, around: Around) => Tensor): void {
  const run = (around: Around, captured: boolean): unknown[] => {
    const w = parameter(0.5, -1, 2);
    manualSeed(3);
    const fn = (): Tensor => body(w, around);
    const step = capture(fn);
    const seen = [1, 2, 3].flatMap(() => {
      const values = captured ? step().toArray() : scope(() => fn().toArray());
      return [values, w.grad];
    });
    step.dispose();
    w.dispose();
    return seen;
  };
  const expected = run(plain, false);
  assert.ok((expected[5] as Float32Array).some((g) => g !== 0));
  for (const captured of [false, true]) assert.equal(run(recompute, captured), expected);
}

inEngine("gradients are those of the function itself, bit for bit", () => {
  expectAlike((w, around) => {
    const y = around(() => w.mul(w).exp().add(w.tanh()).mul(3));
    const z = around(() => y.sigmoid().mul(y).div(w));
    z.sum().backward();
    return z;
  });
});

inEngine("dropout drops the same elements again", () => {
  expectAlike((w, around) => {
    const x = dropout(w.mul(w), { p: 0.1 });
    const y = around(() => dropout(dropout(x, { p: 0.2 }).exp(), { p: 0.1 }));
    const z = around(() => dropout(y.mul(y), { p: 0.1 }));
    z.sum().backward();
    return z;
  });
});

inEngine("several tensors, views and what came in are returned alike", () => {
  expectAlike((w, around) => {
    const made = around(() => {
      const y = w.mul(w);
      const lines = y.reshape([3, 1]);
      return { y, deep: [lines.mul(2), lines, w], number: 7, leaf: ones([3]).mul(2) };
    });
    assert.is(made.number, 7);
    assert.is(made.deep[2], w);
    const [twice, lines] = made.deep as [Tensor, Tensor];
    const loss = made.y.mul(w).sum().add(twice.mul(lines).sum()).add(made.leaf.mul(w).sum());
    loss.backward();
    return loss;
  });
});

inEngine("a pass may start from a result", () => {
  expectAlike((w, around) => {
    const y = around(() => w.mul(w).exp());
    const loss = around(() => y.mul(w).mul(y).sum());
    loss.backward();
    return loss;
  });
});

inEngine("several passes may come to one segment, in a captured step one", () => {
  const gradients = [plain, recompute].map((around) => {
    const w = parameter(0.5, -1, 2);
    const body = (): void => {
      const y = around(() => w.mul(w).exp());
      const loss = around(() => y.mul(w).mul(y).sum());
      loss.backward();
      y.sum().backward();
      loss.backward();
    };
    scope(body);
    const gradient = w.grad;
    w.zeroGrad();
    const step = capture(body);
    if (around === plain) step();
    else assert.throws(() => step(), /a second time to what a module or recompute/);
    step.dispose();
    w.dispose();
    return gradient;
  });
  assert.equal(gradients[1], gradients[0]);
});

inEngine("one segment within another, and scopes and noGrad within, are as without", () => {
  expectAlike((w, around) => {
    const y = around(() => {
      const inner = around(() => w.exp().mul(w));
      const constant = scope(() => w.mul(2).exp());
      const other = noGrad(() => w.mul(5).exp());
      return inner.mul(inner).mul(constant).add(other.mul(w));
    });
    y.sum().backward();
    return y;
  });
});

inEngine("gradients of leaves made inside, and those that were asked to stay, are kept", () => {
  expectAlike((w, around) => {
    const y = around(() => {
      const inner = full([3], 4, { requiresGrad: true });
      const product = w.mul(inner);
      product.retainGrad();
      return product.exp().mul(product);
    });
    y.retainGrad();
    y.sum().backward();
    return y;
  });
  const w = parameter(1, 2);
  scope(() => {
    const y = recompute(() => w.mul(w));
    y.retainGrad();
    y.mul(3).sum().backward();
    assert.equal(y.grad, Float32Array.of(3, 3));
  });
  w.dispose();
});

inEngine("outside of scopes and under noGrad it is the function itself", () => {
  const w = parameter(2, 3);
  const outside = recompute(() => w.mul(w).add(1));
  assert.ok(outside.persistent && !outside.requiresGrad);
  assert.equal(outside.toArray(), Float32Array.of(5, 10));
  scope(() => {
    const y = noGrad(() => recompute(() => w.mul(w).add(1)));
    assert.not(y.requiresGrad);
    assert.equal(y.toArray(), Float32Array.of(5, 10));
  });
  outside.dispose();
  w.dispose();
});

inEngine("values can be read inside, and results after backward", () => {
  const w = parameter(2, 3);
  scope(() => {
    const y = recompute(() => {
      const square = w.mul(w);
      assert.equal(square.toArray(), Float32Array.of(4, 9));
      return square.mul(10);
    });
    const z = recompute(() => y.add(1).exp().log());
    z.sum().backward();
    assert.equal(y.toArray(), Float32Array.of(40, 90));
  });
  w.dispose();
});

inEngine("what was not returned is gone", () => {
  const w = parameter(2);
  scope(() => {
    let smuggled: Tensor | undefined;
    recompute(() => {
      smuggled = w.mul(w);
      return smuggled.mul(3);
    });
    for (const use of [
      () => smuggled?.item(),
      () => smuggled?.grad,
      () => smuggled?.retainGrad(),
      () => smuggled?.mul(2),
      () => smuggled?.backward(),
    ]) {
      assert.throws(
        use,
        (error: Error) =>
          error instanceof ReleasedError &&
          /the function given to recompute\(\) had returned/.test(error.message),
      );
    }
  });
  w.dispose();
});

inEngine("a promise and backward() inside are refused, and the scope goes on", () => {
  const w = parameter(2);
  for (const captured of [false, true]) {
    const body = (): void => {
      assert.throws(
        () => recompute(async () => w.mul(2)),
        (error: Error) => error instanceof UsageError && /returned a promise/.test(error.message),
      );
      assert.throws(
        () => recompute(() => w.mul(w).backward()),
        (error: Error) =>
          error instanceof UsageError && /Return the loss, and call backward/.test(error.message),
      );
      assert.throws(() => recompute(() => scope(() => w.mul(w).backward())), /Return the loss/);
      const y = recompute(() => w.mul(w).mul(w));
      y.sum().backward();
    };
    const step = capture(body);
    if (captured) step();
    else scope(body);
    assert.equal(w.grad, Float32Array.of(12));
    w.zeroGrad();
    step.dispose();
  }
  w.dispose();
});

inEngine("a function that throws leaves nothing behind", () => {
  const w = parameter(2);
  scope(() => {
    assert.throws(() =>
      recompute(() => {
        w.mul(3).exp();
        throw new RangeError("no");
      }),
    );
    recompute(() => w.mul(w).mul(w))
      .sum()
      .backward();
    assert.equal(w.grad, Float32Array.of(12));
  });
  w.dispose();
});

inEngine("the tape lists what a segment recorded, and listing changes nothing", () => {
  const w = parameter(2);
  scope(() => {
    const y = recompute(() => w.mul(w).exp());
    const z = recompute(() => y.mul(y).log());
    const ops = listTape().map(({ op }) => op);
    assert.equal(ops, [
      "Leaf",
      "Mul",
      "Exp",
      "Recompute",
      "Reshape",
      "Mul",
      "Log",
      "Recompute",
      "Reshape",
    ]);
    z.sum().backward();
    // z = 2w²
    assert.ok(Math.abs(w.grad![0]! - 8) < 1e-4);
  });
  w.dispose();
});

test.run();
