// The tensors of a model file against the parameters of a Transformer. The model is built twice. The first time
// with empty placeholders that only remember which shape was asked for: that gives the names and shapes of all
// parameters, so that the whole file is checked, and a config that lies costs no memory. The second time with
// the values, handed out in the same order. GPT-2's Conv1D weights lie in files as [in, out], in memory as
// [out, in].
import { FormatError } from "../core/error.ts";
import type { ModelConfig } from "../nn/config.ts";
import type { Initializer } from "../nn/init.ts";
import { isLinear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { familyNames } from "../nn/names.ts";
import { Transformer } from "../nn/transformer.ts";
import { leaf } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { quote } from "./json.ts";
import { Problems } from "./problems.ts";
import { type StoredTensor, toFloat32 } from "./safetensors.ts";
import { bareName, PREFIX, wrapperOf } from "./tensor-names.ts";

const HEAD = "lm_head.weight";

/** A parameter as files hold it; the list of them has the order in which a Transformer asks for them. */
interface Wanted {
  readonly name: string;
  readonly shape: readonly number[];
  readonly transposed: boolean;
}

/** Names of the weights that files hold as [in, out]. */
export function transposedNames(model: Module): Set<string> {
  const names = new Set<string>();
  for (const [path, module] of model.namedModules()) {
    if (isLinear(module) && module.storedTransposed) names.add(`${path}.weight`);
  }
  return names;
}

/** The transpose [columns, rows] of a row-major matrix [rows, columns]. */
export function transposeMatrix(
  values: Float32Array,
  rows: number,
  columns: number,
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column]!;
    }
  }
  return result;
}

/**
 * Checks that `tensors` are exactly the parameters of a model of this config.
 * @returns an initializer that gives a Transformer of this config its values, and a warning for each tensor that
 *   holds NaN or infinity
 * @throws FormatError that lists every missing, unknown or misshapen tensor
 */
export function matchModelTensors(
  config: ModelConfig,
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
): { init: Initializer; warnings: string[] } {
  if (config.layers > tensors.size) {
    throw new FormatError(
      `${file}: only ${tensors.size} tensors were found, but the config asks for ${config.layers} layers. ` +
        "Use the config.json that belongs to these weights.",
    );
  }
  const problems = new Problems();
  const warnings: string[] = [];
  const remark = (text: string): void => {
    warnings.push(`${file}: ${text}`);
  };
  const found = underFullNames(tensors, familyNames(config.modelType).body, problems, remark);
  if (config.tieWordEmbeddings) findTied(found, tokensName(config), remark);
  const wanted = wantedParameters(config);
  const values: (readonly [Wanted, StoredTensor])[] = [];
  for (const parameter of wanted) {
    const stored = found.get(parameter.name);
    found.delete(parameter.name);
    if (stored === undefined) {
      problems.add(() => `${parameter.name} [${parameter.shape.join(", ")}] is missing`);
      continue;
    }
    checkTensor(parameter.name, stored, parameter.shape, problems);
    values.push([parameter, stored]);
  }
  const head = found.get(HEAD);
  if (config.tieWordEmbeddings && head !== undefined) {
    found.delete(HEAD);
    const tokens = values.find(([{ name }]) => name === tokensName(config))?.[1];
    if (tokens !== undefined) checkTied(head, tokens, problems);
  }
  for (const [name, { shape }] of found) {
    problems.add(() => `${quote(name)} [${shape.join(", ")}] is no part of this model`);
  }
  if (problems.any) throw misfit(file, problems);
  return { init: initializer(values), warnings: [...warnings, ...findNonFinite(values, file)] };
}

const tokensName = ({ modelType }: ModelConfig): string => {
  const { body, tokens } = familyNames(modelType);
  return `${body}.${tokens}.weight`;
};

function misfit(file: string, problems: Problems): FormatError {
  return new FormatError(
    `${file}: the tensors are not those of the config:\n${problems.lines()}\n` +
      "Use the weights and the config.json of one and the same model.",
  );
}

/** Of a tied pair, files may hold the head alone. */
function findTied(
  found: Map<string, StoredTensor>,
  tokens: string,
  remark: (text: string) => void,
): void {
  const head = found.get(HEAD);
  if (head === undefined || found.has(tokens)) return;
  found.set(tokens, head);
  found.delete(HEAD);
  remark(`${tokens} is missing; ${HEAD}, to which the config ties it, was taken for both.`);
}

/** The parameters that a Transformer of this config asks for, from a model of placeholders. */
function wantedParameters(config: ModelConfig): Wanted[] {
  const shapes = new Map<Tensor, readonly number[]>();
  const placeholder: Initializer = (shape) => {
    const tensor = leaf([0], () => {}, { persistent: true });
    shapes.set(tensor, shape);
    return tensor;
  };
  try {
    const model = new Transformer(config, placeholder);
    const names = new Map([...model.namedParameters()].map(([name, tensor]) => [tensor, name]));
    const transposed = transposedNames(model);
    return [...shapes].map(([tensor, shape]) => {
      const name = names.get(tensor)!;
      const isTransposed = transposed.has(name);
      return { name, shape: isTransposed ? shape.toReversed() : shape, transposed: isTransposed };
    });
  } finally {
    for (const tensor of shapes.keys()) tensor.dispose();
  }
}

/**
 * Files of the body alone leave out its prefix, and wrappers of the model put theirs into names; buffers of older files
 * are no parameters.
 */
function underFullNames(
  tensors: ReadonlyMap<string, StoredTensor>,
  body: string,
  problems: Problems,
  remark: (text: string) => void,
): Map<string, StoredTensor> {
  const found = new Map<string, StoredTensor>();
  const wrappers = new Set<string>();
  for (const [name, stored] of tensors) {
    const bare = bareName(name);
    if (bare !== name) wrappers.add(wrapperOf(name) ?? PREFIX);
    if (isBuffer(bare)) continue;
    const whole = bare === HEAD || bare.startsWith(`${body}.`) ? bare : `${body}.${bare}`;
    if (found.has(whole)) {
      problems.add(() => `${quote(whole)} is there twice, with and without "${body}."`);
    }
    found.set(whole, stored);
  }
  for (const wrapper of wrappers) {
    remark(
      `names hold ${quote(wrapper)}, which a wrapper around the model put there; it was left out.`,
    );
  }
  return found;
}

/** Causal masks of GPT-2 (`attn.bias`, `attn.masked_bias`) and rotary frequencies of older Llamas. */
function isBuffer(name: string): boolean {
  return (
    /^(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)$/.test(name) ||
    /(^|\.)rotary_emb\.inv_freq$/.test(name)
  );
}

function checkTensor(
  name: string,
  { shape, dtype }: StoredTensor,
  expected: readonly number[],
  problems: Problems,
): void {
  if (!["F32", "F16", "BF16", "F64"].includes(dtype)) {
    problems.add(() => `${name} holds ${dtype}, which is no type of weights`);
  }
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  problems.add(
    () => `${name} has the shape [${shape.join(", ")}], expected [${expected.join(", ")}]`,
  );
}

/** A tied head may lie in the file as well, but then it must be the embedding. */
function checkTied(head: StoredTensor, tokens: StoredTensor, problems: Problems): void {
  const same =
    head.dtype === tokens.dtype &&
    head.bytes.length === tokens.bytes.length &&
    head.bytes.every((byte, i) => byte === tokens.bytes[i]);
  if (same) return;
  problems.add(
    () =>
      `${HEAD} differs from the token embedding, although the config ties them; ` +
      'set "tie_word_embeddings" to false',
  );
}

function findNonFinite(
  values: readonly (readonly [Wanted, StoredTensor])[],
  file: string,
): string[] {
  return values
    .filter(([, stored]) => !toFloat32(stored).every(Number.isFinite))
    .map(([{ name }]) => `${file}: ${name} holds NaN or infinity.`);
}

function initializer(values: readonly (readonly [Wanted, StoredTensor])[]): Initializer {
  let next = 0;
  return (shape) => {
    const [{ transposed }, stored] = values[next++]!;
    const read = toFloat32(stored);
    const [rows = 0, columns = 0] = stored.shape;
    const data = transposed ? transposeMatrix(read, rows, columns) : read;
    return leaf(shape, (out) => out.set(data), { persistent: true, requiresGrad: true });
  };
}
