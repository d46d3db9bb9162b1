// adapter_config.json, the description of a PEFT adapter. Reading checks every value that matters and
// refuses what would change the mathematics; keys without meaning here are warned about and kept. Writing
// gives the layout of PEFT: indent 2, sorted keys, `inference_mode` true. Only the members of rank_pattern
// and alpha_pattern keep their order, since the first that matches wins.

import { type LoraConfig, type LoraOptions, resolveLoraConfig } from "../adapters/config.ts";
import { FormatError, UsageError } from "../core/error.ts";
import { inWordsOf } from "../core/wording.ts";
import { Fields } from "./fields.ts";
import {
  formatJson,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  parseJsonObject,
  quote,
  sortKeys,
} from "./json.ts";

/** The version of PEFT whose layout is written. */
const PEFT_VERSION = "0.21.2";

/** What an adapter_config.json says. */
export interface PeftConfig {
  readonly lora: LoraConfig;
  readonly taskType: string | null;
  readonly baseModelNameOrPath: string | null;
  readonly revision: string | null;
  /** The object as it was read, kept when it is written again. */
  readonly fields?: JsonObject;
}

// The option of lowrank that an option of PEFT becomes; the rest is below.
const OPTIONS: ReadonlyMap<string, keyof LoraOptions> = new Map([
  ["r", "r"],
  ["lora_alpha", "loraAlpha"],
  ["lora_dropout", "loraDropout"],
  ["target_modules", "targetModules"],
  ["exclude_modules", "excludeModules"],
  ["layers_to_transform", "layersToTransform"],
  ["layers_pattern", "layersPattern"],
  ["rank_pattern", "rankPattern"],
  ["alpha_pattern", "alphaPattern"],
  ["use_rslora", "useRslora"],
  ["bias", "bias"],
  ["fan_in_fan_out", "fanInFanOut"],
]);

// Options that add tensors or change what a layer computes.
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["use_dora", "DoRA scales each row of the weight"],
  ["lora_bias", "it adds a bias to B"],
  ["modules_to_save", "it replaces whole modules"],
  ["trainable_token_indices", "it replaces rows of the embedding"],
  ["target_parameters", "it adapts bare parameters"],
  ["layer_replication", "it changes the layers of the model"],
  ["alora_invocation_tokens", "aLoRA acts on a part of the tokens"],
  ["velora_config", "VeLoRA changes the backward pass"],
  ["monteclora_config", "MonteCLoRA samples its weights"],
  ["use_bdlora", "BD-LoRA is block-diagonal"],
  ["arrow_config", "Arrow routes between adapters"],
  ["kasa_config", "KaSA changes the base weights"],
  ["use_qalora", "QA-LoRA pools its inputs"],
]);

// Known keys that say nothing about a trained adapter.
const INFORMATIVE: readonly string[] = [
  ...[
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "auto_mapping",
  ],
  ...[
    "peft_version",
    "init_lora_weights",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
  ],
  ...["megatron_config", "megatron_core", "qalora_group_size", "runtime_config"],
];

const LISTED = 20;

const TASKS = [
  "CAUSAL_LM",
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
];

/**
 * Reads an adapter_config.json.
 * @returns the config, and a warning for each key that was ignored
 * @throws FormatError for a value that makes no sense, or a method other than plain LoRA
 */
export function parsePeftConfig(
  bytes: Uint8Array,
  file = "adapter_config.json",
): { config: PeftConfig; warnings: string[] } {
  const object = parseJsonObject(bytes, file);
  const fields = new Fields(object, file);
  checkMethod(fields);
  const warnings = unknownKeys(fields);
  remarkOnBias(fields, warnings);
  const options: Record<string, unknown> = { initLoraWeights: initialisation(fields) };
  for (const [key, option] of OPTIONS) {
    const value = fields.get(key);
    if (value !== null) options[option] = plain(value);
  }
  if (["all", "lora_only"].includes(String(options["bias"]))) options["bias"] = "none";
  const config: PeftConfig = {
    lora: resolve(options, file),
    taskType: fields.string("task_type", { fallback: null, choices: TASKS }),
    baseModelNameOrPath: fields.string("base_model_name_or_path", { fallback: null }),
    revision: fields.string("revision", { fallback: null }),
    fields: object,
  };
  return { config, warnings };
}

/** A remark on each key that is not known, up to a number. */
function unknownKeys(fields: Fields): string[] {
  const { file, object } = fields;
  const unknown: string[] = [];
  for (const key of object.keys()) {
    if (OPTIONS.has(key) || REFUSED.has(key) || INFORMATIVE.includes(key)) continue;
    if (key === "ensure_weight_tying" && !fields.isSet(key)) continue;
    unknown.push(key);
  }
  const warnings = unknown
    .slice(0, LISTED)
    .map((key) => `${file}: the key ${quote(key)} is not known and was ignored.`);
  const more = unknown.length - warnings.length;
  if (more > 0) warnings.push(`${file}: ${more} more keys are not known and were ignored.`);
  return warnings;
}

function checkMethod(fields: Fields): void {
  const { file } = fields;
  const type = fields.get("peft_type");
  if (type !== "LORA") {
    const found = type === null ? "is missing" : `is ${formatJson(type).slice(0, 80)}`;
    throw new FormatError(
      `${file}: "peft_type" ${found}, but only "LORA" is supported. Convert or retrain the adapter as LoRA.`,
    );
  }
  for (const [key, reason] of REFUSED) {
    if (!fields.isSet(key)) continue;
    throw new FormatError(
      `${file}: ${JSON.stringify(key)} is set, which is not plain LoRA: ${reason}. It is not supported; ` +
        "merge the adapter into its base with PEFT and load the merged model.",
    );
  }
}

/**
 * How the adapter started. Some ways take a part out of the base weights, and the adapter is only right on what is left
 * of them; PEFT writes true for one that was converted to the whole base when it was saved.
 */
function initialisation(fields: Fields): boolean | "gaussian" {
  const value = fields.get("init_lora_weights") ?? true;
  if (typeof value === "boolean" || value === "gaussian") return value;
  if (typeof value !== "string")
    return fields.wrong("init_lora_weights", "true, false or a string");
  if (HARMLESS_STARTS.includes(value.toLowerCase())) return true;
  const known = CHANGING_STARTS.find(([start]) => value.toLowerCase().startsWith(start));
  const what =
    known === undefined
      ? "it is not known, and may change the base weights as well"
      : `${known[1]} changes the base weights as well`;
  throw new FormatError(
    `${fields.file}: "init_lora_weights" is ${quote(value)}: ${what}, which is not supported. Save the adapter with ` +
      "PEFT's path_initial_model_for_weight_conversion, or merge it into its base with PEFT and load the merged model.",
  );
}

/** Ways to start that leave the base as it is. */
const HARMLESS_STARTS: readonly string[] = ["gaussian", "eva", "orthogonal", "mica"];

/** Ways that change it, by the beginning of their names. */
const CHANGING_STARTS: readonly (readonly [string, string])[] = [
  ["pissa", "PiSSA"],
  ["olora", "OLoRA"],
  ["corda", "CorDA"],
  ["loftq", "LoftQ"],
  ["lora_ga", "LoRA-GA"],
];

/** PEFT says "all" or "lora_only" also where the model has no biases to train; those in the file would be refused. */
function remarkOnBias(fields: Fields, warnings: string[]): void {
  const value = fields.get("bias");
  if (value !== "all" && value !== "lora_only") return;
  warnings.push(
    `${fields.file}: "bias" is ${JSON.stringify(value)}; trained biases are not supported, and an adapter that holds ` +
      "some is refused.",
  );
}

/** Checks the options; errors speak of the file and of PEFT's names. */
function resolve(options: Record<string, unknown>, file: string): LoraConfig {
  try {
    return inKeysOfFile(() => resolveLoraConfig(options as LoraOptions));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new FormatError(`${file}: ${error.message}`);
  }
}

const KEYS: ReadonlyMap<string, string> = new Map(
  [...OPTIONS].map(([key, option]) => [option, key]),
);

/** Runs what speaks of options that came from an adapter_config.json: it calls them by their keys. */
export function inKeysOfFile<T>(fn: () => T): T {
  return inWordsOf((option) => KEYS.get(option), fn);
}

function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, plain(item)]));
  return value;
}

/** Writes an adapter_config.json. The targets should be names, as PEFT saves them, not "all-linear". */
export function formatPeftConfig(config: PeftConfig): string {
  const { lora } = config;
  const own: [string, JsonValue][] = [
    ["alpha_pattern", numbers(lora.alphaPattern)],
    ["base_model_name_or_path", config.baseModelNameOrPath],
    ["bias", lora.bias],
    ["exclude_modules", names(lora.excludeModules)],
    ["fan_in_fan_out", lora.fanInFanOut],
    ["inference_mode", true],
    ["layers_pattern", names(lora.layersPattern)],
    ["layers_to_transform", lora.layersToTransform?.map(number) ?? null],
    ["lora_alpha", number(lora.loraAlpha)],
    ["lora_dropout", real(lora.loraDropout)],
    ["peft_type", "LORA"],
    ["r", number(lora.r)],
    ["rank_pattern", numbers(lora.rankPattern)],
    ["revision", config.revision],
    ["target_modules", names(lora.targetModules)],
    ["task_type", config.taskType],
    ["use_rslora", lora.useRslora],
  ];
  const defaults: [string, JsonValue][] = [
    ["auto_mapping", null],
    ["init_lora_weights", lora.initLoraWeights],
    ["layer_replication", null],
    ["loftq_config", new Map()],
    ["megatron_config", null],
    ["megatron_core", "megatron.core"],
    ["modules_to_save", null],
    ["peft_version", PEFT_VERSION],
    ["use_dora", false],
  ];
  const object: JsonObject = new Map([...defaults, ...(config.fields ?? []), ...own]);
  object.delete("runtime_config");
  return formatJson(sortKeys(object));
}

const number = (value: number): JsonNumber => new JsonNumber(String(value));

/** A number that Python keeps as a float: 0.0, not 0. */
const real = (value: number): JsonNumber =>
  new JsonNumber(Number.isInteger(value) ? value.toFixed(1) : String(value));

const numbers = (values: ReadonlyMap<string, number>): JsonObject =>
  new Map([...values].map(([key, value]) => [key, number(value)]));

/** A pattern stays a string, a list is a set to PEFT and sorted here. */
function names(value: string | readonly string[] | null): JsonValue {
  return value === null || typeof value === "string" ? value : [...value].sort();
}
