// Checkpoints of llama2.c (A. Karpathy), version 0: seven little-endian int32
//   dim, hidden, layers, heads, kv heads, vocabulary (negative: the head is not tied), longest sequence
// then float32, each for all layers: token embedding, attention norms, wq, wk, wv, wo, MLP norms, w1, w2,
// w3, final norm, two tables of rotary angles (skipped), and the head if it is not tied.
// RMS norm with eps 1e-5, rotary pairs (2i, 2i + 1) with theta 10000, SwiGLU, no biases. The tensors get
// the names of a Hugging Face Llama; rows of q and k stay in their interleaved order.
import { FormatError } from "../core/error.ts";
import { expectBytes, expectText } from "../core/kind.ts";
import type { ModelConfig } from "../nn/config.ts";
import { LAYERS, SIZE } from "./config-fields.ts";
import { fromFloat32, type StoredTensor } from "./safetensors.ts";

const HEADER = 28;

/** Reads a whole checkpoint; the tensors share its memory where it is aligned. */
export function readLlama2c(
  bytes: Uint8Array,
  file: string,
): { config: ModelConfig; tensors: Map<string, StoredTensor> } {
  expectText("The name of a file", file);
  expectBytes(file, bytes);
  const config = readHeader(bytes, file);
  const {
    hiddenSize: D,
    intermediateSize: F,
    layers,
    heads,
    kvHeads,
    headDim: d,
    vocabSize: V,
  } = config;
  const own = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const tensors = new Map<string, StoredTensor>();
  let offset = HEADER;
  const take = (name: string, ...shape: number[]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const end = offset + 4 * count;
    if (end > own.length) {
      throw new FormatError(
        `${file} is cut off: ${name} should end at byte ${end}, but it has ${own.length}.`,
      );
    }
    const values = new Float32Array(own.buffer, own.byteOffset + offset, count);
    tensors.set(name, fromFloat32(values, shape));
    offset = end;
  };
  const takeLayers = (name: string, ...shape: number[]) => {
    for (let layer = 0; layer < layers; layer++)
      take(`model.layers.${layer}.${name}.weight`, ...shape);
  };
  take("model.embed_tokens.weight", V, D);
  takeLayers("input_layernorm", D);
  takeLayers("self_attn.q_proj", heads * d, D);
  takeLayers("self_attn.k_proj", kvHeads * d, D);
  takeLayers("self_attn.v_proj", kvHeads * d, D);
  takeLayers("self_attn.o_proj", D, heads * d);
  takeLayers("post_attention_layernorm", D);
  takeLayers("mlp.gate_proj", F, D);
  takeLayers("mlp.down_proj", D, F);
  takeLayers("mlp.up_proj", F, D);
  take("model.norm.weight", D);
  offset += 4 * config.maxPositions * d;
  if (!config.tieWordEmbeddings) take("lm_head.weight", V, D);
  if (offset !== own.length) {
    throw new FormatError(
      `${file} should have ${offset} bytes by its header, but has ${own.length}.`,
    );
  }
  return { config, tensors };
}

function readHeader(bytes: Uint8Array, file: string): ModelConfig {
  if (bytes.length < HEADER) {
    throw new FormatError(`${file} is too small for a llama2.c checkpoint: ${bytes.length} bytes.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  const size = (place: number, name: string, max = SIZE.max) => {
    const value = view.getInt32(4 * place, true);
    if (value >= 1 && value <= max) return value;
    throw new FormatError(`${file} is no llama2.c checkpoint: its ${name} would be ${value}.`);
  };
  const hiddenSize = size(0, "width");
  const heads = size(3, "number of heads");
  const kvHeads = size(4, "number of key-value heads");
  const vocabulary = view.getInt32(20, true);
  if (hiddenSize % heads !== 0 || heads % kvHeads !== 0 || (hiddenSize / heads) % 2 !== 0) {
    throw new FormatError(
      `${file} is no llama2.c checkpoint: ${heads} heads and ${kvHeads} key-value heads do not divide ` +
        `a width of ${hiddenSize} evenly.`,
    );
  }
  if (vocabulary === 0 || Math.abs(vocabulary) > SIZE.max) size(5, "vocabulary");
  return {
    modelType: "llama",
    vocabSize: Math.abs(vocabulary),
    hiddenSize,
    layers: size(2, "number of layers", LAYERS.max),
    heads,
    kvHeads,
    headDim: hiddenSize / heads,
    intermediateSize: size(1, "inner width"),
    maxPositions: size(6, "longest sequence"),
    norm: "rms",
    normEps: 1e-5,
    activation: "silu",
    gated: true,
    positions: "rope",
    ropeTheta: 10000,
    ropeStyle: "interleaved",
    attentionBias: { qkv: false, out: false },
    mlpBias: false,
    tieWordEmbeddings: vocabulary > 0,
    bosTokenId: 1,
    eosTokenId: [2],
  };
}
