// A Llama of a few thousand random weights in a Hugging Face directory, with a byte-level BPE trained on the beginning
// of the bundled text: small enough that the command trains it in a second.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Generator } from "../../src/core/random.ts";
import { trainTokenizer } from "../../src/data/trainTokenizer.ts";
import { writeTokenizerJson } from "../../src/data/writeTokenizerJson.ts";
import { fromFloat32, type StoredTensor, writeSafetensors } from "../../src/io/safetensors.ts";

export interface TinyModelOptions {
  /** Seed of the weights; default 0. */
  readonly seed?: number;
  /** Default 2. */
  readonly layers?: number;
}

const hidden = 32;
const heads = 4;
const kvHeads = 2;
const headDim = 8;
const intermediate = 48;

/** The bundled text, from the root of the project: tests run in dist/test. */
export function bundledText(): string {
  return readFileSync(
    fileURLToPath(new URL("../../../data/king-james.txt", import.meta.url)),
    "utf8",
  );
}

/** Writes config.json, model.safetensors and tokenizer.json into `directory`, which is made. */
export function writeTinyModel(
  directory: string,
  { seed = 0, layers = 2 }: TinyModelOptions = {},
): void {
  const tokenizer = trainTokenizer(bundledText().slice(0, 8000), { vocabSize: 320 });
  const vocab = tokenizer.vocabSize;
  const random = new Generator(seed);
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, ...shape: number[]): void => {
    const size = shape.reduce((product, side) => product * side, 1);
    // Uniform of standard deviation 0.02, as small as trained weights begin.
    const values = Float32Array.from({ length: size }, () => (random.uniform() - 0.5) * 0.0693);
    tensors.set(name, fromFloat32(shape.length === 1 ? values.fill(1) : values, shape));
  };
  add("model.embed_tokens.weight", vocab, hidden);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    add(`${at}.input_layernorm.weight`, hidden);
    add(`${at}.self_attn.q_proj.weight`, heads * headDim, hidden);
    add(`${at}.self_attn.k_proj.weight`, kvHeads * headDim, hidden);
    add(`${at}.self_attn.v_proj.weight`, kvHeads * headDim, hidden);
    add(`${at}.self_attn.o_proj.weight`, hidden, heads * headDim);
    add(`${at}.post_attention_layernorm.weight`, hidden);
    add(`${at}.mlp.gate_proj.weight`, intermediate, hidden);
    add(`${at}.mlp.up_proj.weight`, intermediate, hidden);
    add(`${at}.mlp.down_proj.weight`, hidden, intermediate);
  }
  add("model.norm.weight", hidden);
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: vocab,
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    intermediate_size: intermediate,
    max_position_embeddings: 128,
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    bos_token_id: tokenizer.bosTokenId ?? null,
    eos_token_id: tokenizer.eosTokenId ?? null,
    torch_dtype: "float32",
  };
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(
    join(directory, "model.safetensors"),
    writeSafetensors(tensors, new Map([["format", "pt"]])),
  );
  writeFileSync(join(directory, "tokenizer.json"), writeTokenizerJson(tokenizer));
}
