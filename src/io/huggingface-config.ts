// config.json of a Hugging Face model directory <-> ModelConfig, for GPT-2 and for the Llama family
// (Llama, Mistral, Qwen2). Options that change the mathematics and are not built are refused; all other
// fields are kept, and writing changes only what has changed.
import { FormatError, UsageError } from "../core/error.ts";
import type { ModelConfig } from "../nn/config.ts";
import { HOMES } from "./config-fields.ts";
import { Fields } from "./fields.ts";
import { describeGpt2, readGpt2 } from "./gpt2-config.ts";
import {
  formatJson,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  parseJsonObject,
  sortKeys,
} from "./json.ts";
import { describeLlama, isLlama, llamaTypes, ROPE_PLACES, readLlama } from "./llama-config.ts";

/** A config as read, with the object it came from and remarks on what was ignored. */
export interface ModelConfigFile {
  readonly config: ModelConfig;
  readonly fields: JsonObject;
  readonly warnings: string[];
}

/** The element types that a config.json can name. */
export type StoredType = "float32" | "float16" | "bfloat16";

/**
 * Reads a config.json.
 * @throws FormatError for a type of model that is not known, or an option that is not built
 */
export function parseModelConfig(bytes: Uint8Array, file = "config.json"): ModelConfigFile {
  const fields = parseJsonObject(bytes, file);
  const warnings: string[] = [];
  return { config: readConfig(fields, file, warnings), fields, warnings };
}

function readConfig(object: JsonObject, file: string, warnings: string[]): ModelConfig {
  const fields = new Fields(object, file);
  const modelType = fields.string("model_type", { choices: ["gpt2", ...llamaTypes] });
  if (fields.isSet("quantization_config")) {
    throw new FormatError(
      `${file}: the model is quantized, which is not supported. Use the model it was made from.`,
    );
  }
  if (fields.isSet("text_config")) {
    throw new FormatError(
      `${file}: "text_config" is set: the model has a part for text and others beside it, which is not supported. ` +
        "Save the part for text as a model of its own.",
    );
  }
  if (fields.isSet("auto_map")) {
    warnings.push(`${file}: the model names code of its own in "auto_map", which is never run.`);
  }
  return isLlama(modelType) ? readLlama(fields, modelType, warnings) : readGpt2(fields, warnings);
}

/**
 * Writes a config.json.
 * @param options.fields the object that the config came from: only what has changed is changed in it
 * @param options.dtype the type in which the weights are stored beside it
 * @throws UsageError for a model that no Hugging Face config can describe
 */
export function formatModelConfig(
  config: ModelConfig,
  options: { readonly fields?: JsonObject; readonly dtype?: StoredType } = {},
): string {
  const wanted = describe(config);
  const object: JsonObject = new Map(options.fields ?? wanted);
  if (options.fields !== undefined) {
    const before = describe(readConfig(options.fields, "config.json", []));
    for (const [key, value] of wanted) {
      if (formatJson(value) === formatJson(before.get(key) ?? null)) continue;
      setEverywhere(object, key, value);
    }
  }
  if (options.dtype !== undefined) {
    // A file that says it under both names is read under either.
    const names = ["dtype", "torch_dtype"].filter((name) => object.has(name));
    for (const name of names.length === 0 ? ["torch_dtype"] : names) {
      object.set(name, options.dtype);
    }
  }
  return `${formatJson(options.fields === undefined ? sortKeys(object) : object)}\n`;
}

/** Sets a field, and the same setting under every other name and in every other place where the file has it. */
function setEverywhere(object: JsonObject, key: string, value: JsonValue): void {
  object.set(key, value);
  for (const name of HOMES.get(key) ?? []) if (object.has(name)) object.set(name, value);
  if (key !== "rope_theta") return;
  for (const place of ROPE_PLACES) {
    const rope = object.get(place);
    if (!(rope instanceof Map)) continue;
    if (place === "rope_parameters" || rope.has(key)) {
      object.set(place, new Map([...rope, [key, value]]));
    }
  }
}

function describe(config: ModelConfig): JsonObject {
  const values = isLlama(config.modelType)
    ? describeLlama(config)
    : config.modelType === "gpt2"
      ? describeGpt2(config)
      : null;
  if (values === null) {
    throw new UsageError(
      `A model of the type ${JSON.stringify(config.modelType)} with these options has no Hugging Face config. ` +
        "A gpt2 has layer norm, learned positions, biases and a plain MLP; a llama, mistral or qwen2 has RMS " +
        "norm, rotary positions in half style and a gated MLP without biases other than its own.",
    );
  }
  const ids = config.eosTokenId;
  const common: [string, JsonValue | number][] = [
    ["model_type", config.modelType],
    ["vocab_size", config.vocabSize],
    ["tie_word_embeddings", config.tieWordEmbeddings],
    ["bos_token_id", config.bosTokenId],
    ["eos_token_id", ids.length > 1 ? ids.map(toNumber) : (ids[0] ?? null)],
  ];
  return new Map([...common, ...values].map(([key, value]) => [key, toJson(value)]));
}

const toNumber = (value: number): JsonNumber => new JsonNumber(String(value));
const toJson = (value: JsonValue | number): JsonValue =>
  typeof value === "number" ? toNumber(value) : value;
