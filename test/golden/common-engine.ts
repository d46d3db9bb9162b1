// The common model of the golden runs, built with the front end from its start values.

import type { Adapter } from "../../src/adapters/adapter.ts";
import { injectLora, LoraLayer } from "../../src/adapters/lora.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import { emptyParameter } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { capture } from "../../src/tensor/capture.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import {
  type CommonRest,
  type CommonSize,
  type CommonStart,
  commonAdamW,
  commonAlpha,
  commonRank,
  commonStream,
  type NamedTensor,
} from "./common-model.ts";

/** Names of the golden runs' tensors, and where the front end keeps them. */
const PLACES: Readonly<Record<string, string>> = {
  "ln1.gain": "input_layernorm.weight",
  "ln1.bias": "input_layernorm.bias",
  q: "self_attn.q_proj.weight",
  k: "self_attn.k_proj.weight",
  v: "self_attn.v_proj.weight",
  o: "self_attn.o_proj.weight",
  "ln2.gain": "post_attention_layernorm.weight",
  "ln2.bias": "post_attention_layernorm.bias",
  fc1: "mlp.up_proj.weight",
  fc2: "mlp.down_proj.weight",
};

function nameOf(golden: string): string {
  const outer: Readonly<Record<string, string>> = {
    tok: "model.embed_tokens.weight",
    pos: "model.embed_positions.weight",
    "lnf.gain": "model.norm.weight",
    "lnf.bias": "model.norm.bias",
    head: "lm_head.weight",
  };
  const dot = golden.indexOf(".");
  return (
    outer[golden] ?? `model.layers.${golden.slice(0, dot)}.${PLACES[golden.slice(dot + 1)] ?? "?"}`
  );
}

function transposed({ shape, data }: NamedTensor, room?: Float32Array): Float32Array {
  const [rows = 0, columns = 0] = shape;
  // A loop, for the numbers of L would fill the heap on their way through an iterator.
  const out = room?.subarray(0, data.length) ?? new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = data[(i % rows) * columns + Math.floor(i / rows)] ?? 0;
  }
  return out;
}

/** The base model with its start values. */
export function commonModel(size: CommonSize, start: CommonStart): Transformer {
  const model = emptyModel(size);
  const write = writerOf(model);
  for (const tensor of start.weights) write(tensor);
  return model;
}

/** The base model, into which its start values are drawn, and what else a run starts from. */
export function drawnModel(size: CommonSize): {
  readonly model: Transformer;
  readonly rest: CommonRest;
} {
  const model = emptyModel(size);
  const write = writerOf(model);
  const room = new Float32Array(size.vocab * size.d);
  return { model, rest: commonStream(size, (tensor) => write(tensor, room)) };
}

/** Writes a tensor's start values into the model; the goldens' linear weights are [in, out]. `room` is for turning them. */
function writerOf(model: Transformer): (tensor: NamedTensor, room?: Float32Array) => void {
  const parameters = new Map(model.namedParameters());
  return (tensor, room) => {
    const linear = !/^(tok|pos|lnf|.*\.ln\d)/.test(tensor.name);
    parameters.get(nameOf(tensor.name))?.set(linear ? transposed(tensor, room) : tensor.data);
  };
}

function emptyModel(size: CommonSize): Transformer {
  return new Transformer(
    {
      modelType: "llama",
      vocabSize: size.vocab,
      hiddenSize: size.d,
      layers: size.layers,
      heads: size.heads,
      kvHeads: size.heads,
      headDim: size.d / size.heads,
      intermediateSize: 4 * size.d,
      maxPositions: size.length,
      norm: "layer",
      normEps: 1e-5,
      activation: "geluTanh",
      gated: false,
      positions: "learned",
      ropeTheta: 10000,
      ropeStyle: "half",
      attentionBias: { qkv: false, out: false },
      mlpBias: false,
      tieWordEmbeddings: false,
      bosTokenId: null,
      eosTokenId: [],
    },
    emptyParameter,
  );
}

/** The adapter with its start values: A [in, r] and B [r, out] in the goldens. */
export function commonAdapter(model: Transformer, start: CommonRest): Adapter {
  const adapter = injectLora(model, {
    r: commonRank,
    loraAlpha: commonAlpha,
    targetModules: "all-linear",
  });
  for (const tensor of start.lora) {
    const path = nameOf(tensor.name.slice(0, -2)).replace(/\.weight$/, "");
    const layer = adapter.layers.get(path);
    if (!(layer instanceof LoraLayer)) throw new Error(`no adapter at ${path}`);
    (tensor.name.endsWith(".A") ? layer.a : layer.b).set(transposed(tensor));
  }
  return adapter;
}

/** The fixed batch of a golden run. */
export function commonBatch(size: CommonSize, start: CommonRest): TokenBatch {
  const { batch, length } = size;
  return {
    batchSize: batch,
    blockSize: length,
    inputs: start.x,
    targets: start.y,
    starts: new Int32Array(batch * length),
    positions: Int32Array.from({ length: batch * length }, (_, i) => i % length),
  };
}

/** The golden runs' step, captured: each call trains once and gives the loss before the update. */
export function commonStep(model: Transformer, batch: TokenBatch): () => Tensor {
  const optimizer = new AdamW(model.trainableParameters(), commonAdamW);
  const step = capture((batch: TokenBatch) => {
    const loss = model.loss(batch);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  return () => step(batch);
}
