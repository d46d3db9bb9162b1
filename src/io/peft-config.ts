// adapter_config.json, the description of a PEFT adapter: some keys that all methods share, and one for each option of the
// method, whose table checks them. Reading refuses what would change the mathematics; keys without meaning here are
// warned about and kept. Writing gives the layout of PEFT: indent 2, sorted keys, `inference_mode` true. Only the
// members of rank_pattern and alpha_pattern keep their order, since the first that matches wins.
import { type AnyMethod, foreignKeysOf } from "../adapters/method.ts";
import { methods } from "../adapters/methods.ts";
import { type OptionRow, resolveValues, rowsOf } from "../adapters/option.ts";
import { FormatError, UsageError } from "../core/error.ts";
import { inWordsOf } from "../core/wording.ts";
import { Fields } from "./fields.ts";
import {
  formatJson,
  JsonNumber,
  type JsonObject,
  JsonText,
  type JsonTree,
  type JsonValue,
  parseJsonObject,
  quote,
  sortKeys,
} from "./json.ts";

/** The version of PEFT whose layout is written. */
const PEFT_VERSION = "0.21.2";

/** What an adapter_config.json says. */
export interface PeftConfig {
  readonly method: AnyMethod;
  /** The method's own options. */
  readonly config: object;
  readonly taskType: string | null;
  readonly baseModelNameOrPath: string | null;
  readonly revision: string | null;
  /** The object as it was read, kept when it is written again. */
  readonly fields?: JsonObject;
}

/** Keys of every method. */
const COMMON: readonly string[] = [
  "peft_type",
  "task_type",
  "base_model_name_or_path",
  "revision",
  "inference_mode",
  "auto_mapping",
  "peft_version",
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
 * @throws FormatError for a value that makes no sense, or a method that is not supported
 */
export function parsePeftConfig(
  bytes: Uint8Array,
  file = "adapter_config.json",
): { config: PeftConfig; warnings: string[] } {
  const object = parseJsonObject(bytes, file);
  const fields = new Fields(object, file);
  const method = findMethod(fields);
  const warnings = unknownKeys(fields, method);
  for (const [, { key, storedRemark }] of rowsOf<object>(method.options)) {
    const value = plain(fields.get(key));
    const remark = value === null ? null : (storedRemark?.(value) ?? null);
    if (remark !== null) warnings.push(`${file}: ${remark}`);
  }
  const config: PeftConfig = {
    method,
    config: readOptions(method, fields),
    taskType: fields.string("task_type", { fallback: null, choices: TASKS }),
    baseModelNameOrPath: fields.string("base_model_name_or_path", { fallback: null }),
    revision: fields.string("revision", { fallback: null }),
    fields: object,
  };
  return { config, warnings };
}

/** A remark on each key that is not known, up to a number. */
function unknownKeys(fields: Fields, method: AnyMethod): string[] {
  const { file, object } = fields;
  const { refused, ignored } = foreignKeysOf(method);
  const options = new Set(rowsOf<object>(method.options).map(([, { key }]) => key));
  const unknown: string[] = [];
  for (const key of object.keys()) {
    if (options.has(key) || COMMON.includes(key)) continue;
    if (Object.hasOwn(refused, key) || ignored.includes(key)) continue;
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

function findMethod(fields: Fields): AnyMethod {
  const { file } = fields;
  const type = fields.get("peft_type");
  const method = methods().find(({ peftType }) => peftType === type);
  if (method === undefined) {
    const found = type === null ? "is missing" : `is ${formatJson(type).slice(0, 80)}`;
    const known = methods()
      .map(({ peftType }) => JSON.stringify(peftType))
      .join(", ");
    throw new FormatError(
      `${file}: "peft_type" ${found}, but only ${known} are supported. Convert or retrain the adapter as one of these.`,
    );
  }
  for (const [key, reason] of Object.entries(foreignKeysOf(method).refused)) {
    if (!fields.isSet(key)) continue;
    throw new FormatError(
      `${file}: ${JSON.stringify(key)} is set, which is not plain ${method.name}: ${reason}. It is not supported; ` +
        "merge the adapter into its base with PEFT and load the merged model.",
    );
  }
  return method;
}

/** The method's options; errors speak of the file's keys. */
function readOptions(method: AnyMethod, fields: Fields): object {
  return ofFile(
    method,
    () => {
      const config = resolveValues(method.options, (_, { key, stored }: OptionRow<unknown>) => {
        const value = plain(fields.get(key));
        return stored === undefined || value === null ? value : stored(value);
      });
      method.check?.(config);
      return config;
    },
    (message) => `${fields.file}: ${message}`,
  );
}

/** Runs what speaks of options of this method that came from an adapter_config.json: it calls them by their keys. */
export function inKeysOfFile<T>({ options }: AnyMethod, fn: () => T): T {
  const keys = new Map<string, string>(
    rowsOf<object>(options).map(([name, { key }]) => [name as string, key]),
  );
  return inWordsOf((option) => keys.get(option), fn);
}

/** The same, and what is refused is a FormatError, with `sentence` around it. */
export function ofFile<T>(
  method: AnyMethod,
  fn: () => T,
  sentence: (message: string) => string,
): T {
  try {
    return inKeysOfFile(method, fn);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new FormatError(sentence(error.message));
  }
}

function plain(value: JsonTree): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map((item) => plain(treeOf(item)));
  if (!(value instanceof Map)) return value;
  return new Map([...value].map(([key, item]) => [key, plain(treeOf(item))]));
}

const treeOf = (value: JsonValue): JsonTree => (value instanceof JsonText ? value.value() : value);

/** Writes an adapter_config.json. The targets should be names, as PEFT saves them, not "all-linear". */
export function formatPeftConfig(description: PeftConfig): string {
  const { method, config } = description;
  const rows = rowsOf<object>(method.options).map(([name, row]) => ({
    key: row.key,
    value: jsonOf(Reflect.get(config, name), row),
    isKept: row.stored !== undefined,
  }));
  const entries = (kept: boolean): [string, JsonValue][] =>
    rows.filter(({ isKept }) => isKept === kept).map(({ key, value }) => [key, value]);
  const own: [string, JsonValue][] = [
    ["base_model_name_or_path", description.baseModelNameOrPath],
    ["inference_mode", true],
    ["peft_type", method.peftType],
    ["revision", description.revision],
    ["task_type", description.taskType],
  ];
  const defaults: [string, JsonValue][] = [
    ["auto_mapping", null],
    ["peft_version", PEFT_VERSION],
    ...Object.entries(foreignKeysOf(method).defaults).map(([key, value]): [string, JsonValue] => [
      key,
      typeof value === "object" && value !== null ? new Map() : value,
    ]),
  ];
  const object: JsonObject = new Map([
    ...defaults,
    ...entries(true),
    ...(description.fields ?? []),
    ...entries(false),
    ...own,
  ]);
  object.delete("runtime_config");
  return formatJson(sortKeys(object));
}

/** A value of an option: a list of names is a set to PEFT, and sorted here. */
function jsonOf(value: unknown, row: Pick<OptionRow<unknown>, "float">): JsonValue {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    // Python keeps a float as one: 0.0, not 0.
    const isWhole = row.float === true && Number.isInteger(value);
    return new JsonNumber(isWhole ? value.toFixed(1) : String(value));
  }
  if (value instanceof Map) {
    return new Map([...value].map(([key, item]) => [String(key), jsonOf(item, {})]));
  }
  const items = Array.isArray(value) ? value : [];
  const sorted = items.every((item) => typeof item === "string") ? items.toSorted() : items;
  return sorted.map((item) => jsonOf(item, {}));
}
