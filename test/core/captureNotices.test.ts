// What a captured step notices: everything that would lead the function itself another way.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { Module } from "../../src/nn/module.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { capture } from "../../src/tensor/capture.ts";
import { arange, ones, tensor } from "../../src/tensor/create.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engine, inEngine } from "../support/inEngine.ts";

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);
const parameter = (...values: number[]): Tensor =>
  tensor(values, { requiresGrad: true, persistent: true });

/** Calls in order must give these numbers, after as many recordings as said. */
function expectCalls<A extends readonly unknown[]>(
  fn: (...args: A) => Tensor,
  calls: readonly (readonly [args: A, expected: readonly number[]])[],
  recordings: number,
): void {
  const step = capture(fn);
  for (const [args, expected] of calls) assert.equal([...step(...args).toArray()], expected);
  assert.is(step.recordings, recordings);
  step.dispose();
}

inEngine("one array in two places is one input only as long as it is one array", () => {
  const x = f32(1, 2);
  expectCalls(
    (a: Float32Array, b: Float32Array) => tensor(a).mul(10).add(tensor(b)),
    [
      [
        [x, x],
        [11, 22],
      ],
      [
        [f32(1, 2), f32(5, 6)],
        [15, 26],
      ],
      [
        [f32(3, 4), f32(7, 8)],
        [37, 48],
      ],
    ],
    2,
  );
});

type Loose = Readonly<Record<string, number | Float32Array>>;

inEngine("names that were asked for, and names that were looked for in vain", () => {
  expectCalls(
    (o: Loose) => ones([1]).mul(Object.values(o).reduce<number>((sum, v) => sum + Number(v), 0)),
    [
      [[{ a: 1 }], [1]],
      [[{ a: 1, b: 2 }], [3]],
      [[{ a: 1, b: 2 }], [3]],
    ],
    2,
  );
  expectCalls(
    (o: Loose) => ones([1]).mul("b" in o ? 100 : 1),
    [
      [[{ a: 1 }], [1]],
      [[{ a: 1, b: 2 }], [100]],
    ],
    2,
  );
});

inEngine("frozen arguments work, and parts of arguments come back as they were given", () => {
  const step = capture(
    (batch: { readonly parts: readonly Float32Array[]; readonly meta: object }) => ({
      y: tensor(batch.parts[0]!),
      meta: batch.meta,
    }),
  );
  const meta = { id: 7 };
  const batch = Object.freeze({ parts: Object.freeze([f32(5)]), meta });
  assert.equal(step(batch).meta, meta);
  assert.is(step({ parts: [f32(6)], meta: { id: 8 } }).y.item(), 6);
  assert.is(step.recordings, 1);
  step.dispose();
});

test("another engine is another program", async () => {
  const other = await Engine.create({ threads: 1 });
  const step = capture((x: Float32Array) => tensor(x).mul(2));
  for (const one of [engine, other, other]) {
    const y = one.run(() => step(f32(4)));
    assert.is(y.engine, one);
    assert.is(y.item(), 8);
  }
  assert.is(step.recordings, 2);
  step.dispose();
});

inEngine(
  "dropouts that come after a replay, in a scope or not, are those that come after the step",
  () => {
    const run = (captured: boolean): number[][] => {
      const body = (x: Float32Array): Tensor => dropout(dropout(tensor(x)));
      const step = capture(body);
      const x = f32(...Array.from({ length: 32 }, (_, i) => i + 1));
      manualSeed(5);
      const seen: number[][] = [];
      for (let i = 0; i < 3; i++) {
        seen.push([...(captured ? step(x).toArray() : scope(() => body(x).toArray()))]);
        const numbers = arange(1, 33, { dtype: "float32" });
        const after = dropout(numbers);
        seen.push([...after.toArray()]);
        after.dispose();
        numbers.dispose();
        seen.push([...scope(() => body(x).toArray())]);
      }
      step.dispose();
      return seen;
    };
    assert.equal(run(true), run(false));
  },
);

inEngine("an array of another type or another count of arguments", () => {
  expectCalls(
    (...arrays: (Float32Array | Int32Array)[]) =>
      ones([1])
        .mul(tensor(arrays[0]!, { dtype: "float32" }).sum())
        .mul(arrays.length),
    [
      [[f32(1.5)], [1.5]],
      [[Int32Array.of(3)], [3]],
      [[f32(2.5)], [2.5]],
      [[f32(2.5), f32(1)], [5]],
    ],
    4,
  );
});

inEngine(
  "a tensor that only an action or a copy reads: disposed of, it is an error as elsewhere",
  () => {
    const gone = /after its dispose\(\)/;
    const [p, q, r] = [parameter(1), parameter(1), parameter(2)];
    const optimizer = new SGD([p, r], { lr: 0.1 });
    scope(() => p.sum().add(r.sum()).backward());
    const update = capture(() => optimizer.step());
    const zero = capture(() => q.zeroGrad());
    const copy = capture((x: Float32Array) => r.clone().mul(tensor(x)));
    update();
    zero();
    copy(f32(1));
    for (const t of [p, q, r]) t.dispose();
    const others = [parameter(1), parameter(1), parameter(1)];
    for (const other of others) scope(() => other.sum().backward());
    assert.throws(() => update(), gone);
    assert.throws(() => zero(), gone);
    assert.throws(() => copy(f32(1)), gone);
    for (const other of others) {
      assert.is(other.item(), 1);
      assert.equal(other.grad, f32(1));
      other.dispose();
    }
    optimizer.dispose();
  },
);

inEngine("a parameter that was asked whether it trains", () => {
  const w = tensor([2], { persistent: true });
  const step = capture((x: Float32Array) => {
    const y = ones([1]).mul(tensor(x));
    return w.requiresGrad ? y.mul(10) : y;
  });
  assert.is(step(f32(3)).item(), 3);
  w.requiresGrad = true;
  assert.is(step(f32(3)).item(), 30);
  assert.is(step(f32(4)).item(), 40);
  assert.is(step.recordings, 2);
  step.dispose();
  w.dispose();
});

class Scale extends Module {
  constructor() {
    super();
    this.use(1);
  }

  /** Replaces the parameter. */
  use(value: number): Tensor {
    return this.addParameter("weight", tensor([value], { persistent: true }));
  }

  forward(x: Tensor): Tensor {
    return x.mul(this.parameter("weight"));
  }
}

class Pair extends Module {
  constructor() {
    super();
    this.addModule("scale", new Scale());
  }
}

inEngine("modules and parameters that were replaced", () => {
  const pair = new Pair();
  const made: Tensor[] = [...pair.parameters()];
  const step = capture((x: Float32Array) => (pair.child("scale") as Scale).forward(tensor(x)));
  assert.is(step(f32(3)).item(), 3);
  made.push((pair.child("scale") as Scale).use(10));
  assert.is(step(f32(3)).item(), 30);
  const other = new Scale();
  made.push(...other.parameters());
  pair.replaceModule("scale", other);
  assert.is(step(f32(3)).item(), 3);
  assert.is(step(f32(4)).item(), 4);
  assert.is(step.recordings, 3);
  step.dispose();
  for (const t of made) t.dispose();
});

inEngine("a gradient that clipping would count is noticed", () => {
  const run = (captured: boolean): Float32Array => {
    const [a, b] = [parameter(1), parameter(1)];
    const body = (x: Float32Array): void => {
      a.mul(tensor(x)).sum().backward();
      clipGradNorm([a, b], 1);
    };
    const step = capture(body);
    const call = (x: Float32Array): void => (captured ? step(x) : scope(() => body(x)));
    call(f32(3));
    a.zeroGrad();
    scope(() => b.mul(4).sum().backward());
    call(f32(3));
    const gradients = f32(...a.grad!, ...b.grad!);
    step.dispose();
    a.dispose();
    b.dispose();
    return gradients;
  };
  assert.equal(run(true), run(false));
});

/** The numbers of steps and the value of a parameter, after a body was called so, captured or not. */
function stepped(captured: boolean, leftover: boolean): unknown[] {
  const [p, q] = [parameter(1), parameter(1)];
  const optimizer = new AdamW([p, q], { lr: 0.1 });
  const table = tensor([[1], [2]], { persistent: true });
  const body = (x: Float32Array, ids: Int32Array): void => {
    p.mul(tensor(x)).sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
    embedding(tensor(ids), table);
  };
  const step = capture(body);
  if (leftover) scope(() => q.mul(5).sum().backward());
  for (const id of [0, 1, 9, 1]) {
    const x = f32(id + 1);
    const ids = Int32Array.of(id);
    try {
      if (captured) step(x, ids);
      else scope(() => body(x, ids));
    } catch (error) {
      assert.match((error as Error).message, /got the .* 9 at/);
    }
  }
  const { parameters } = optimizer.stateDict();
  const seen = [...parameters.map((state) => state?.step), p.item(), q.item()];
  step.dispose();
  optimizer.dispose();
  for (const t of [p, q, table]) t.dispose();
  return seen;
}

inEngine(
  "an optimizer counts the steps that a parameter was part of, also when a replay stops behind it",
  () => {
    for (const leftover of [false, true]) {
      const eager = stepped(false, leftover);
      assert.equal(eager.slice(0, 2), [4, leftover ? 1 : undefined]);
      assert.equal(stepped(true, leftover), eager);
    }
  },
);

test.run();
