// Random programs over every op that has a gradient: a list of ops, run in modules and segments, eager or captured.

import type { Engine } from "../../src/core/engine.ts";
import { exp, gelu, relu, silu } from "../../src/tensor/activation.ts";
import { attention } from "../../src/tensor/attention.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { div } from "../../src/tensor/elementwise.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { layerNorm, rmsNorm } from "../../src/tensor/norm.ts";
import { manualSeed, normal } from "../../src/tensor/random.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { rope, ropeTable } from "../../src/tensor/rope.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import { concat, gather, indexSelect } from "../../src/tensor/shape.ts";
import { logSoftmax } from "../../src/tensor/softmax.ts";
import { listTape } from "../../src/tensor/tape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

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
  /** int32 [4, 6], columns. */
  readonly columns: Tensor;
  /** Of rope: [6, 3, 2], and int32 [1, 4]. */
  readonly turns: Tensor;
  readonly positions: Tensor;
}

/** Ops from [4, 6] (and another [4, 6]) to [4, 6]. */
export const OPS: readonly ((x: Tensor, y: Tensor, world: World) => Tensor)[] = [
  (x, y) => x.add(y),
  (x, y) => x.sub(y),
  (x, y) => x.mul(y),
  (x, y) => x.div(exp(y.tanh())),
  (x) => div(2, x.mul(x).add(1)),
  (x) => x.mul(0.5).sub(1),
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
  (x, _, { columns }) => gather(x.tanh(), 1, columns),
  (x, y, { ids }) => indexSelect(concat([x, y], 0), 0, ids).mul(y),
  (x, _, { turns, positions }) =>
    rope(x.reshape([1, 4, 1, 6]), turns, positions, "half").reshape([4, 6]),
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

export interface Choice {
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
export function stepsOf(
  one: Engine,
  { choices, start, trained }: { choices: readonly Choice[]; start: number; trained: number },
  captured: boolean,
  recorded: Set<string> = new Set(),
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
      columns: tensor(
        Array.from({ length: 4 }, (_, row) => [row, 5, 0, 2, row, 1]),
        { dtype: "int32" },
      ),
      turns: ropeTable(6, 6, 100),
      positions: tensor([[3, 0, 1, 5]], { dtype: "int32" }),
    };
    manualSeed(start);
    const body = (): Tensor => {
      const y = composite({ engine: one }, () => program(choices, world));
      y.tanh().sum().backward();
      if (!captured) for (const { op } of listTape()) recorded.add(op);
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
