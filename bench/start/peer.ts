// The first product of a program that uses a peer, whose name is the last argument.

import { writeSync } from "node:fs";
import { dirname } from "node:path";
import { OnnxGraph } from "../peers/onnxGraph.ts";
import { importPeer, requirePeer } from "../peers/packages.ts";

interface JaxArray {
  readonly ref: JaxArray;
  data(): Promise<ArrayLike<number>>;
}
interface Jax {
  init(device: string): Promise<unknown>;
  defaultDevice(device: string): unknown;
  readonly numpy: {
    ones(shape: readonly number[]): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}
interface TfTensor {
  dataSync(): ArrayLike<number>;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  ones(shape: readonly number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
}
interface Onnx {
  readonly Tensor: new (type: string, data: Float32Array, sizes: readonly number[]) => object;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{ run(inputs: object): Promise<Record<string, { data: ArrayLike<number> }>> }>;
  };
}

const SHAPE = [64, 64];

const products: Readonly<Record<string, () => Promise<ArrayLike<number> | undefined>>> = {
  jax: async () => {
    const { module } = await importPeer<Jax>("jax");
    await module.init("wasm");
    module.defaultDevice("wasm");
    const a = module.numpy.ones(SHAPE);
    return module.numpy.matmul(a.ref, a).data();
  },
  tfjs: async () => {
    const { module: tf } = requirePeer<Tf>("tfjs", "@tensorflow/tfjs");
    const { module: backend, path } = requirePeer<{ setWasmPaths(folder: string): void }>(
      "tfjs",
      "@tensorflow/tfjs-backend-wasm",
    );
    backend.setWasmPaths(`${dirname(path)}/../wasm-out/`);
    await tf.setBackend("wasm");
    await tf.ready();
    const a = tf.ones(SHAPE);
    return tf.matMul(a, a).dataSync();
  },
  "onnx-node": async () => {
    const { module: onnx } = requirePeer<Onnx>("onnx-node", "onnxruntime-node");
    const graph = new OnnxGraph();
    graph.node("MatMul", [graph.input("a", "float", SHAPE), "a"], {}, "c");
    graph.output("c", SHAPE);
    const session = await onnx.InferenceSession.create(graph.model(), {});
    const a = new onnx.Tensor("float32", new Float32Array(4096).fill(1), SHAPE);
    return (await session.run({ a }))["c"]?.data;
  },
};

const found = await products[process.argv.at(-1) ?? ""]?.();
if (found?.[0] !== 64) throw new Error("The product is wrong.");
writeSync(1, "x");
process.exit();
