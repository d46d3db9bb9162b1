// ONNX Runtime as a system, `onnxruntime-node` or `onnxruntime-web`: greedy decoding with a cache of keys and values.
// Which of the two it is, the argument before the last says.

import process from "node:process";
import { argmax } from "../../src/train/sample.ts";
import { commonSizes } from "../../test/golden/common-model.ts";
import { mostTokens, promptOf } from "../decoding.ts";
import { forgetStart, startOf } from "../training.ts";
import { decodingModel } from "./onnxModel.ts";
import { requirePeer } from "./packages.ts";
import { type Built, serve } from "./serve.ts";

interface OnnxTensor {
  readonly data: Float32Array;
}
type Tensors = Record<string, OnnxTensor>;
interface Session {
  run(inputs: Tensors): Promise<Tensors>;
}
interface Onnx {
  readonly Tensor: new (
    type: "float32" | "int64",
    data: Float32Array | BigInt64Array,
    sizes: readonly number[],
  ) => OnnxTensor;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly env: { logLevel: string; readonly wasm: { numThreads: number } };
}

await serve(async ({ kind, size: name, threads, check }): Promise<Built> => {
  const peer = process.argv.at(-2) ?? "";
  const { module: onnx, version } = requirePeer<Onnx>(peer, peer.replace("onnx", "onnxruntime"));
  const isWeb = peer === "onnx-web";
  if (isWeb) onnx.env.wasm.numThreads = threads;
  onnx.env.logLevel = "error";
  const options = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionProviders: [isWeb ? "wasm" : "cpu"],
    graphOptimizationLevel: "all",
  };
  const floats = (data: Float32Array, sizes: readonly number[]): OnnxTensor =>
    new onnx.Tensor("float32", data, sizes);
  const integers = (values: readonly number[], sizes: readonly number[]): OnnxTensor =>
    new onnx.Tensor(
      "int64",
      BigInt64Array.from(values, (value) => BigInt(value)),
      sizes,
    );

  if (kind !== "decode" || name === undefined) throw new Error(`It has no ${kind} here.`);
  const size = commonSizes[name];
  const session = await onnx.InferenceSession.create(decodingModel(size, startOf(name)), options);
  const prompt = promptOf(name);
  forgetStart();
  const { layers, heads, vocab } = size;

  const caches = Array.from({ length: layers }, (_, i) => [`keys.${i}`, `values.${i}`]).flat();
  const decode = async (count: number): Promise<number[]> => {
    const nothing = floats(new Float32Array(0), [1, heads, 0, size.d / heads]);
    let past: Tensors = Object.fromEntries(caches.map((cache) => [cache, nothing]));
    let ids: readonly number[] = prompt;
    let seen = 0;
    const made: number[] = [];
    while (made.length < count) {
      const all = seen + ids.length;
      const bias = new Float32Array(ids.length * all);
      for (let row = 0; row < ids.length; row++) {
        bias.fill(-1e9, row * all + seen + row + 1, (row + 1) * all);
      }
      const result = await session.run({
        ids: integers(ids, [1, ids.length]),
        positions: integers(
          ids.map((_, i) => seen + i),
          [ids.length],
        ),
        bias: floats(bias, [ids.length, all]),
        ...past,
      });
      const next = argmax(result["logits"]!.data.subarray((ids.length - 1) * vocab));
      past = Object.fromEntries(caches.map((cache) => [cache, result[`new.${cache}`]!]));
      made.push(next);
      seen = all;
      ids = [next];
    }
    return made;
  };
  return { version, tokens: await decode(check), run: () => decode(mostTokens(name)) };
});
