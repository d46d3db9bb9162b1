// @jax-js/jax as a system: a full training step in its wasm backend, compiled by jit as a whole.
// Arrays are used up by what is called with them: `ref` is one more use. Tokens are embedded by a product of one-hot
// rows, for `take` has no gradient under jit.

import { commonAdamW, commonSizes, type NamedTensor } from "../../test/golden/common-model.ts";
import { startOf } from "../training.ts";
import { importPeer } from "./packages.ts";
import { type Built, serve } from "./serve.ts";

interface Arr {
  readonly ref: Arr;
  add(other: Arr | number): Arr;
  sub(other: Arr | number): Arr;
  mul(other: Arr | number): Arr;
  div(other: Arr | number): Arr;
  reshape(shape: readonly number[]): Arr;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}
type Tree = Record<string, Arr>;
interface Jax {
  init(device: string): Promise<unknown>;
  defaultDevice(device: string): unknown;
  jit<F>(fn: F): F;
  valueAndGrad(
    fn: (tree: Tree, x: Arr, y: Arr) => Arr,
  ): (tree: Tree, x: Arr, y: Arr) => [Arr, Tree];
  blockUntilReady(tree: Tree): Promise<unknown>;
  readonly tree: { ref(tree: Tree): Tree };
  readonly nn: {
    softmax(x: Arr, axis: number): Arr;
    logSoftmax(x: Arr, axis: number): Arr;
    gelu(x: Arr): Arr;
  };
  readonly numpy: {
    readonly bool: unknown;
    array(data: Float32Array | readonly number[], options?: { shape: readonly number[] }): Arr;
    matmul(a: Arr, b: Arr): Arr;
    mean(x: Arr, axis: number, options: { keepdims: boolean }): Arr;
    square(x: Arr): Arr;
    sqrt(x: Arr): Arr;
    sum(x: Arr): Arr;
    transpose(x: Arr, axes: readonly number[]): Arr;
    tri(rows: number, columns: number, k: number, options: { dtype: unknown }): Arr;
    where(condition: Arr, a: Arr, b: Arr | number): Arr;
  };
}

await serve(async ({ kind, size: name, check }): Promise<Built> => {
  const { module, version } = await importPeer<Jax>("jax");
  const { numpy: np, nn, jit, valueAndGrad, tree } = module;
  await module.init("wasm");
  module.defaultDevice("wasm");
  if (kind !== "step" || name === undefined) throw new Error(`It has no ${kind} here.`);
  const size = commonSizes[name];
  const { d, heads, layers, length, batch, vocab } = size;
  const start = startOf(name);
  const width = d / heads;

  const norm = (x: Arr, gain: Arr, bias: Arr): Arr => {
    const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred
      .div(np.sqrt(variance.add(1e-5)))
      .mul(gain)
      .add(bias);
  };
  const splitHeads = (x: Arr): Arr =>
    np.transpose(x.reshape([batch, length, heads, width]), [0, 2, 1, 3]);
  const lossOf = (p: Tree, x: Arr, y: Arr): Arr => {
    const part = (key: string): Arr => p[key]!;
    let h = np.matmul(x, part("tok")).reshape([batch, length, d]).add(part("pos"));
    h = h.reshape([batch * length, d]);
    for (let i = 0; i < layers; i++) {
      const own = (key: string): Arr => part(`${i}.${key}`);
      const n = norm(h.ref, own("ln1.gain"), own("ln1.bias"));
      const q = splitHeads(np.matmul(n.ref, own("q")));
      const k = splitHeads(np.matmul(n.ref, own("k")));
      const v = splitHeads(np.matmul(n, own("v")));
      const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(width));
      const causal = np.where(np.tri(length, length, 0, { dtype: np.bool }), scores, -1e9);
      const mixed = np.transpose(np.matmul(nn.softmax(causal, -1), v), [0, 2, 1, 3]);
      h = h.add(np.matmul(mixed.reshape([batch * length, d]), own("o")));
      const inner = np.matmul(norm(h.ref, own("ln2.gain"), own("ln2.bias")), own("fc1"));
      h = h.add(np.matmul(nn.gelu(inner), own("fc2")));
    }
    const logits = np.matmul(norm(h, part("lnf.gain"), part("lnf.bias")), part("head"));
    return np.sum(nn.logSoftmax(logits, -1).mul(y)).mul(-1 / (batch * length));
  };

  const { lr, betas, eps, weightDecay } = commonAdamW;
  const [beta1, beta2] = betas;
  const update = jit((p: Tree, m: Tree, v: Tree, x: Arr, y: Arr, c1: Arr, c2: Arr) => {
    const [loss, gradients] = valueAndGrad(lossOf)(tree.ref(p), x, y);
    const next: { p: Tree; m: Tree; v: Tree } = { p: {}, m: {}, v: {} };
    for (const key of Object.keys(p)) {
      const g = gradients[key]!;
      const mean = m[key]!.mul(beta1).add(g.ref.mul(1 - beta1));
      const square = v[key]!.mul(beta2).add(np.square(g).mul(1 - beta2));
      next.m[key] = mean.ref;
      next.v[key] = square.ref;
      const step = mean.mul(c1.ref).div(np.sqrt(square.mul(c2.ref)).add(eps));
      next.p[key] = p[key]!.mul(1 - lr * weightDecay).sub(step.mul(lr));
    }
    c1.dispose();
    c2.dispose();
    return { loss, ...next };
  });

  const treeOf = (data: (tensor: NamedTensor) => Float32Array): Tree =>
    Object.fromEntries(
      start.weights.map((tensor) => [tensor.name, np.array(data(tensor), { shape: tensor.shape })]),
    );
  const zeros = (tensor: NamedTensor): Float32Array => new Float32Array(tensor.data.length);
  const oneHot = (ids: Int32Array): Arr => {
    const rows = new Float32Array(ids.length * vocab);
    for (const [i, id] of ids.entries()) rows[i * vocab + id] = 1;
    return np.array(rows, { shape: [ids.length, vocab] });
  };
  let state = { p: treeOf(({ data }) => data.slice()), m: treeOf(zeros), v: treeOf(zeros) };
  const [x, y] = [oneHot(start.x), oneHot(start.y)];
  let steps = 0;
  const run = async (): Promise<number> => {
    steps++;
    const c1 = np.array([1 / (1 - beta1 ** steps)]);
    const c2 = np.array([1 / (1 - beta2 ** steps)]);
    const { loss, ...next } = update(state.p, state.m, state.v, x.ref, y.ref, c1, c2);
    state = next;
    const value = (await loss.data())[0] ?? Number.NaN;
    await module.blockUntilReady(state.p);
    return value;
  };
  const losses: number[] = [];
  for (let i = 0; i < check; i++) losses.push(await run());
  return { version, losses, run };
});
