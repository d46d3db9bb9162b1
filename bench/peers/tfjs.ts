// @tensorflow/tfjs with its wasm backend as a system: a full training step, as somebody who knows it would write it.
// Products with a transposed operand run at a tenth of the speed of plain ones there, so operands
// are transposed by an op of their own, forward and backward. Gathering has no gradient in wasm, so tokens are embedded
// by a product of one-hot rows; there is no AdamW, so weights decay before Adam's update.

import { dirname } from "node:path";
import { commonAdamW, commonSizes } from "../../test/golden/common-model.ts";
import { startOf } from "../training.ts";
import { requirePeer } from "./packages.ts";
import { type Built, serve } from "./serve.ts";

interface Tensor {
  readonly rank: number;
  dataSync(): Float32Array;
  dispose(): void;
}
interface Variable extends Tensor {
  assign(value: Tensor): void;
}
type Save = (tensors: readonly Tensor[]) => void;
interface Gradient {
  readonly value: Tensor;
  gradFunc(dy: Tensor, saved: readonly Tensor[]): Tensor[];
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): Tensor;
  tensor1d(data: Int32Array, dtype: "int32"): Tensor;
  ones(shape: readonly number[]): Tensor;
  variable(value: Tensor): Variable;
  customGrad(fn: (a: Tensor, b: Tensor, save: Save) => Gradient): (a: Tensor, b: Tensor) => Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
  transpose(x: Tensor, axes: readonly number[]): Tensor;
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  add(a: Tensor | number, b: Tensor | number): Tensor;
  sub(a: Tensor, b: Tensor | number): Tensor;
  mul(a: Tensor | number, b: Tensor | number): Tensor;
  mean(x: Tensor, axis: number, keepDims: boolean): Tensor;
  square(x: Tensor): Tensor;
  rsqrt(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  softmax(x: Tensor): Tensor;
  oneHot(ids: Tensor, depth: number): Tensor;
  cast(x: Tensor, dtype: "float32"): Tensor;
  tidy<T>(fn: () => T): T;
  readonly linalg: { bandPart(x: Tensor, lower: number, upper: number): Tensor };
  readonly losses: { softmaxCrossEntropy(labels: Tensor, logits: Tensor): Tensor };
  readonly train: {
    adam(
      lr: number,
      beta1: number,
      beta2: number,
      eps: number,
    ): { minimize(fn: () => Tensor, cost: true, variables: Variable[]): Tensor };
  };
}
interface WasmBackend {
  setWasmPaths(folder: string): void;
}

await serve(async ({ kind, size: name, check }): Promise<Built> => {
  const { module: tf, version } = requirePeer<Tf>("tfjs", "@tensorflow/tfjs");
  const backend = requirePeer<WasmBackend>("tfjs", "@tensorflow/tfjs-backend-wasm");
  backend.module.setWasmPaths(`${dirname(backend.path)}/../wasm-out/`);
  await tf.setBackend("wasm");
  await tf.ready();
  if (kind !== "step" || name === undefined) throw new Error(`It has no ${kind} here.`);
  const { d, heads, layers, length, batch, vocab } = commonSizes[name];
  const start = startOf(name);
  const width = d / heads;

  const turned = (x: Tensor): Tensor => {
    const axes = Array.from({ length: x.rank }, (_, i) => i);
    return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
  };
  const product = tf.customGrad((a, b, save) => {
    save([a, b]);
    return {
      value: tf.matMul(a, b),
      gradFunc: (dy, [left, right]) => [
        tf.matMul(dy, turned(right!)),
        tf.matMul(turned(left!), dy),
      ],
    };
  });
  const norm = (x: Tensor, gain: Tensor, bias: Tensor): Tensor => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5))), gain), bias);
  };
  const gelu = (x: Tensor): Tensor => {
    const cubic = tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x))));
    return tf.mul(tf.mul(x, 0.5), tf.add(1, tf.tanh(tf.mul(Math.sqrt(2 / Math.PI), cubic))));
  };

  const parameters = new Map(
    start.weights.map(({ name, data, shape }) => [name, tf.variable(tf.tensor(data, shape))]),
  );
  const variables = [...parameters.values()];
  const part = (key: string): Tensor => parameters.get(key)!;
  const oneHot = (ids: Int32Array): Tensor =>
    tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(ids, "int32"), vocab), "float32"));
  const [x, y] = [oneHot(start.x), oneHot(start.y)];
  // 0 where a position may look, -1e9 where it may not.
  const mask = tf.tidy(() =>
    tf.mul(tf.sub(tf.linalg.bandPart(tf.ones([length, length]), -1, 0), 1), 1e9),
  );
  const splitHeads = (t: Tensor): Tensor =>
    tf.transpose(tf.reshape(t, [batch, length, heads, width]), [0, 2, 1, 3]);
  const loss = (): Tensor => {
    const embedded = tf.reshape(product(x, part("tok")), [batch, length, d]);
    let h = tf.reshape(tf.add(embedded, part("pos")), [batch * length, d]);
    for (let i = 0; i < layers; i++) {
      const own = (key: string): Tensor => part(`${i}.${key}`);
      const n = norm(h, own("ln1.gain"), own("ln1.bias"));
      const [q, k, v] = ["q", "k", "v"].map((key) => splitHeads(product(n, own(key))));
      const scores = tf.mul(product(q!, turned(k!)), 1 / Math.sqrt(width));
      const mixed = product(tf.softmax(tf.add(scores, mask)), v!);
      const joined = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * length, d]);
      h = tf.add(h, product(joined, own("o")));
      const inner = product(norm(h, own("ln2.gain"), own("ln2.bias")), own("fc1"));
      h = tf.add(h, product(gelu(inner), own("fc2")));
    }
    const logits = product(norm(h, part("lnf.gain"), part("lnf.bias")), part("head"));
    return tf.losses.softmaxCrossEntropy(y, logits);
  };

  const { lr, betas, eps, weightDecay } = commonAdamW;
  const optimizer = tf.train.adam(lr, betas[0], betas[1], eps);
  const run = (): number => {
    tf.tidy(() => {
      for (const variable of variables) variable.assign(tf.mul(variable, 1 - lr * weightDecay));
    });
    const value = optimizer.minimize(loss, true, variables);
    const number = value.dataSync()[0] ?? Number.NaN;
    value.dispose();
    return number;
  };
  return { version, losses: Array.from({ length: check }, run), run };
});
