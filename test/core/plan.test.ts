// The memory of a captured step is planned: what a module made on the way to its result is used for other things as soon
// as nothing reads it. Whatever the ops and their order, the bits are those of a step that keeps everything.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Engine, Engine as Engines } from "../../src/core/engine.ts";
import { ReleasedError, UsageError } from "../../src/core/error.ts";
import { exp, gelu, relu, silu } from "../../src/tensor/activation.ts";
import { attention } from "../../src/tensor/attention.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { layerNorm, rmsNorm } from "../../src/tensor/norm.ts";
import { manualSeed, normal } from "../../src/tensor/random.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import { concat } from "../../src/tensor/shape.ts";
import { logSoftmax } from "../../src/tensor/softmax.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { seed } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";
import { engine, inEngine } from "../support/inEngine.ts";

const all = await engines();

/** What the random programs read: some of it trains. */
interface World {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly gain: Tensor;
  readonly bias: Tensor;
  readonly table: Tensor;
  readonly ids: Tensor;
}

/** Ops from [4, 6] (and another [4, 6]) to [4, 6]. */
const OPS: readonly ((x: Tensor, y: Tensor, world: World) => Tensor)[] = [
  (x, y) => x.add(y),
  (x, y) => x.sub(y),
  (x, y) => x.mul(y),
  (x, y) => x.div(exp(y.tanh())),
  (x) => x.neg(),
  (x) => exp(x.tanh()),
  (x) => exp(x.tanh()).log(),
  (x) => exp(x.tanh()).sqrt(),
  (x) => x.tanh(),
  (x) => x.sigmoid(),
  (x) => relu(x),
  (x) => gelu(x),
  (x) => gelu(x, { approximate: "tanh" }),
  (x) => silu(x),
  (x) => x.softmax(),
  (x) => logSoftmax(x),
  (x, y) => x.mul(y.sum({ axes: [1], keepdim: true }).tanh()),
  (x, y) => x.add(y.mean({ axes: [0], keepdim: true })),
  (x, y) => x.sub(y.max({ axes: [1], keepdim: true })),
  (x) => dropout(x, { p: 0.3 }),
  (x, y) => concat([x.slice(1, 0, 2), y.slice(1, 2, 6)], 1),
  (x, y) => x.reshape([6, 4]).transpose(0, 1).add(y),
  (x, y) => x.matmul(y.transpose(0, 1)).matmul(x),
  (x, _, { gain, bias }) => layerNorm(x, gain, bias, 1e-5),
  (x, _, { gain }) => rmsNorm(x, gain, 1e-6),
  (x, _, { w, bias }) => linear(x, w, bias),
  (x, _, { w, a, b }) => linear(x, w, null, { a, b, scale: 0.5, dropout: 0 }),
  (x, _, { w, a, b }) => linear(x, w, null, { a, b, scale: 2, dropout: 0.3 }),
  (x, _, { table, ids }) => x.add(embedding(ids, table)),
  (x, y) => {
    const heads = (t: Tensor): Tensor => t.reshape([1, 4, 2, 3]);
    return attention(heads(x), heads(y), heads(x)).reshape([4, 6]);
  },
  (x, _, { ids, w }) => x.mul(crossEntropy(x.matmul(w), ids).tanh()),
  (x, y, { ids, w }) => x.mul(linearCrossEntropy(y, w, ids).tanh()),
];

interface Choice {
  readonly op: number;
  readonly first: number;
  readonly second: number;
  /** 0: go on, 1: a module begins, 2: a segment begins, 3: the innermost of them ends. */
  readonly bracket: number;
}

/** Runs the choices from `at` to the end of the innermost bracket, on what was made before. */
function program(choices: readonly Choice[], world: World): Tensor {
  let at = 0;
  const run = (input: readonly Tensor[]): Tensor => {
    const made = [...input];
    while (at < choices.length) {
      const { op, first, second, bracket } = choices[at]!;
      at += 1;
      if (bracket === 3 && made.length > input.length) break;
      if (bracket === 1) made.push(composite({ engine: world.x.engine }, () => run(made)));
      if (bracket === 2) made.push(recompute(() => run(made)));
      const [x, y] = [first, second].map((i) => made[made.length - 1 - (i % made.length)]!);
      made.push(OPS[op]!(x!, y!, world));
    }
    return made.at(-1)!;
  };
  return run([world.x]);
}

/** Values and gradients of three steps. */
function stepsOf(
  one: Engine,
  { choices, start, trained }: { choices: readonly Choice[]; start: number; trained: number },
  captured: boolean,
): unknown[] {
  return one.run(() => {
    let stream = 0;
    const make = (...shape: number[]): Tensor =>
      normal(shape, {
        std: 0.5,
        seed: start,
        stream: stream++,
        persistent: true,
        requiresGrad: ((trained >> stream) & 1) === 1,
      });
    const world: World = {
      x: normal([4, 6], { seed: start, stream: 100, persistent: true, requiresGrad: true }),
      w: make(6, 6),
      a: make(2, 6),
      b: make(6, 2),
      gain: make(6),
      bias: make(6),
      table: make(6, 6),
      ids: tensor([0, 5, 2, 0], { dtype: "int32" }),
    };
    manualSeed(start);
    const body = (): Tensor => {
      const y = composite({ engine: one }, () => program(choices, world));
      y.tanh().sum().backward();
      return y;
    };
    const step = capture(body);
    const leaves = Object.values(world) as Tensor[];
    const seen = [0, 1, 2].flatMap(() => {
      const y = captured ? step().toArray() : scope(() => body().toArray());
      return [y, ...leaves.map((leaf) => leaf.grad)];
    });
    step.dispose();
    for (const leaf of leaves) leaf.dispose();
    return seen;
  });
}

for (const { name, engine: one } of all) {
  test(`random programs give the same bits captured, in modules and segments (${name})`, () => {
    const choice = fc.record({
      op: fc.nat(OPS.length - 1),
      first: fc.nat(3),
      second: fc.nat(6),
      bracket: fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
    });
    fc.assert(
      fc.property(
        fc.record({
          choices: fc.array(choice, { minLength: 1, maxLength: 24 }),
          start: seed,
          trained: fc.nat(255),
        }),
        (given) => {
          const plain = {
            ...given,
            choices: given.choices.map((c) => ({
              ...c,
              bracket: c.bracket === 3 ? 3 : Math.min(c.bracket, 1),
            })),
          };
          const expected = stepsOf(one, plain, false);
          assert.equal(stepsOf(one, given, false), expected, "segments");
          assert.equal(stepsOf(one, plain, true), expected, "captured");
          assert.equal(stepsOf(one, given, true), expected, "captured segments");
        },
      ),
      { numRuns: 60 },
    );
  });
}

const parameter = (...values: number[]): Tensor =>
  tensor(values, { requiresGrad: true, persistent: true });

inEngine("what a module made may be used until a backward pass is over, not after", () => {
  const w = parameter(2);
  let late = false;
  const step = capture(() => {
    let inner: Tensor | undefined;
    const y = composite({ engine }, () => {
      inner = w.mul(w);
      return inner.exp().log();
    });
    const other = late ? y : inner!.mul(10);
    y.sum().backward();
    return late ? inner!.mul(10) : other;
  });
  assert.is(step().item(), 40);
  assert.is(step().item(), 40);
  step.dispose();
  late = true;
  assert.throws(
    () => step(),
    (error: Error) =>
      error instanceof ReleasedError && /let the module return it/.test(error.message),
  );
  w.dispose();
});

inEngine("losses of several modules may each go back, but no two through one module", () => {
  const run = (captured: boolean): Float32Array => {
    const w = parameter(2);
    const body = (): void => {
      const losses = [3, 5].map((factor) =>
        composite({ engine }, () => w.mul(w).exp().log().mul(factor).sum()),
      );
      for (const loss of losses) loss.backward();
    };
    const step = capture(body);
    for (let i = 0; i < 3; i++) captured ? step() : scope(body);
    const gradient = w.grad!;
    step.dispose();
    w.dispose();
    return gradient;
  };
  assert.equal(run(true), run(false));
  const w = parameter(2);
  const twice = capture(() => {
    const y = composite({ engine }, () => w.mul(w).exp());
    y.mul(2).sum().backward();
    y.mul(3).sum().backward();
  });
  assert.throws(
    () => twice(),
    (error: Error) => error instanceof UsageError && /Add the losses/.test(error.message),
  );
  w.dispose();
});

test("of a long chain in a module a captured step holds what backward reads, and little more", async () => {
  const one = await Engines.create({ threads: 1 });
  const bytes = 65536;
  const peak = one.run(() => {
    const w = tensor(new Float32Array(bytes / 4), { requiresGrad: true, persistent: true });
    const step = capture(() => {
      const y = composite({ engine: one }, () => {
        let z: Tensor = w.mul(2);
        // Of each turn backward reads the first op's input alone.
        for (let i = 0; i < 10; i++) z = gelu(z).add(1).neg().add(w);
        return z.sum();
      });
      y.backward();
    });
    step();
    step();
    return one.stats().arenaPeak;
  });
  // Ten inputs, two values while they are made, two gradients, and the constants 2 and 1.
  assert.ok(peak < 14.5 * bytes, `${peak / bytes}`);
});

test.run();
