// The tensors of an adapter's file against those that its method asks for: `base_model.model.<path>.<key>` for a module
// and `base_model.<key>` for what the whole adapter shares. Older and foreign files leave out the prefix, name the adapter
// (`lora_A.default.weight`), or bring what wrappers of the model put into names; all are read. PEFT stores weights of the
// base beside an adapter on the head: they must be those of the model. PEFT ignores what does not fit; here everything
// that is missing, left over or of another shape is listed at once, before any of it is used.
import type { DeclaredTensors } from "../adapters/inject.ts";
import type { AnyMethod } from "../adapters/method.ts";
import { FormatError } from "../core/error.ts";
import { quote } from "./json.ts";
import { Problems } from "./problems.ts";
import { fromFloat32, type StoredTensor, toFloat32 } from "./safetensors.ts";
import { bareName, PREFIX, wrapperOf } from "./tensor-names.ts";

export { PREFIX };

const SHARED = "base_model.";

/** The name under which PEFT stores a tensor of a module, or with null as the path of the whole adapter. */
export function storedName(path: string | null, key: string): string {
  return path === null ? `${SHARED}${key}` : `${PREFIX}${path}.${key}`;
}

/** Stored tensors by path, null for the whole adapter, and key. */
export type FoundTensors = ReadonlyMap<string | null, ReadonlyMap<string, StoredTensor>>;

/** The tensor of a path and key that were asked for. */
export function storedAt(found: FoundTensors, path: string | null, key: string): StoredTensor {
  const tensor = found.get(path)?.get(key);
  if (tensor === undefined) throw new FormatError(`There is no ${nameOf(path, key)}.`);
  return tensor;
}

interface Wanted {
  readonly path: string | null;
  readonly key: string;
  readonly shape: readonly number[];
}

/** A weight of the model as files hold it. */
export interface BaseTensor {
  readonly shape: readonly number[];
  readonly values: () => Float32Array;
}

/** What is held against the tensors of a file. */
export interface Expected {
  readonly declared: DeclaredTensors;
  readonly method: AnyMethod;
  /** The model's own tensor of a name, if it has one. */
  readonly base?: (name: string) => BaseTensor | null;
}

/**
 * Finds all tensors that were asked for.
 * @returns them, and remarks: tensors that hold NaN or infinity, names that were cleaned, weights of the base that the
 *   file repeats
 * @throws FormatError that lists everything that does not fit
 */
export function matchAdapterTensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  { declared, method, base = () => null }: Expected,
  file: string,
): { found: FoundTensors; warnings: string[] } {
  const problems = new Problems();
  const warnings: string[] = [];
  const wanted = byBareName(declared);
  const stored = new Map<Wanted, StoredTensor>();
  const wrappers = new Set<string>();
  for (const [name, tensor] of tensors) {
    const bare = bareOf(name);
    const wrapper = wrapperOf(name);
    if (wrapper !== null) wrappers.add(wrapper);
    const one = wantedBy(bare, wanted);
    if (one === undefined) {
      const own = bare.replace(/\.base_layer\.(weight|bias)$/, ".$1");
      const problem = ownOrLeftOver(name, bare, tensor, own, base(own), method);
      if (problem === null) {
        warnings.push(`${file}: ${quote(name)} is the model's own ${own}, and was left out.`);
      } else problems.add(() => problem);
      continue;
    }
    if (stored.has(one)) problems.add(() => `${quote(name)} is there twice, under two names`);
    stored.set(one, tensor);
  }
  for (const wrapper of wrappers) {
    warnings.push(
      `${file}: names hold ${quote(wrapper)}, which a wrapper around the model put there; it was left out.`,
    );
  }
  const found = new Map<string | null, Map<string, StoredTensor>>();
  for (const [path, shapes] of declared) {
    found.set(path, new Map());
    const missing = [...shapes.keys()].filter((key) => {
      const one = wanted.get(nameOf(path, key));
      return one === undefined || !stored.has(one);
    });
    if (missing.length > 0) {
      problems.add(() => `${path ?? "the adapter"} has no ${missing.join(" and ")}`);
    }
  }
  for (const [{ path, key, shape }, tensor] of stored) {
    checkShape(nameOf(path, key), tensor, shape, problems);
    found.get(path)?.set(key, tensor);
  }
  if (problems.any) {
    throw new FormatError(
      `${file} does not fit this model and its adapter_config.json:\n${problems.lines()}\n` +
        "Load it onto the model that it was made for.",
    );
  }
  for (const [{ path, key }, tensor] of stored) {
    if (toFloat32(tensor).every(Number.isFinite)) continue;
    warnings.push(`${file}: ${nameOf(path, key)} holds NaN or infinity; merging will refuse it.`);
  }
  return { found, warnings };
}

/** What is wrong with a tensor that nobody asked for; null for the model's own. */
function ownOrLeftOver(
  name: string,
  bare: string,
  stored: StoredTensor,
  own: string,
  weight: BaseTensor | null,
  method: AnyMethod,
): string | null {
  if (weight === null) return `${quote(name)} ${leftOver(bare, method)}`;
  if (isSame(stored, weight)) return null;
  return (
    `${quote(name)} [${stored.shape.join(", ")}] differs from the model's ${own} [${weight.shape.join(", ")}]: ` +
    "the adapter comes with a base weight of its own, which is not supported"
  );
}

const nameOf = (path: string | null, key: string): string =>
  path === null ? key : `${path}.${key}`;

/** The name without what wrappers and PEFT put before it. */
function bareOf(name: string): string {
  const bare = bareName(name);
  return bare.startsWith(SHARED) ? bare.slice(SHARED.length) : bare;
}

function byBareName(declared: DeclaredTensors): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const [path, shapes] of declared) {
    for (const [key, shape] of shapes) wanted.set(nameOf(path, key), { path, key, shape });
  }
  return wanted;
}

/** What a name means: itself, or without the name of an adapter, which stands behind the first part of the key. */
function wantedBy(bare: string, wanted: ReadonlyMap<string, Wanted>): Wanted | undefined {
  const found = wanted.get(bare);
  if (found !== undefined) return found;
  const parts = bare.split(".");
  // Keys have few parts: only the last ones can be the name.
  for (let i = parts.length - 1; i > 0 && i >= parts.length - 3; i--) {
    const without = wanted.get(parts.toSpliced(i, 1).join("."));
    if (without !== undefined) return without;
  }
  return undefined;
}

function leftOver(bare: string, { name, keys, foreignTensors = {} }: AnyMethod): string {
  for (const [ending, reason] of Object.entries(foreignTensors)) {
    if (bare.endsWith(ending)) return reason;
  }
  const isKnown = keys.some((key) => bare.endsWith(`.${key}`));
  return isKnown
    ? "belongs to no module that the config adapts"
    : `is no tensor of a ${name} adapter`;
}

/** Whether a weight is the model's, as far as its own type can tell. */
function isSame(stored: StoredTensor, { shape, values }: BaseTensor): boolean {
  if (stored.shape.length !== shape.length || !shape.every((size, i) => size === stored.shape[i])) {
    return false;
  }
  const { dtype } = stored;
  if (!isFloat(dtype)) return false;
  const own =
    dtype === "F16" || dtype === "BF16" ? toFloat32(fromFloat32(values(), shape, dtype)) : values();
  return toFloat32(stored).every((value, i) => Object.is(value, own[i]) || value === own[i]);
}

const isFloat = (dtype: string): boolean => ["F32", "F16", "BF16", "F64"].includes(dtype);

function checkShape(
  name: string,
  { shape, dtype }: StoredTensor,
  expected: readonly number[],
  problems: Problems,
): void {
  if (!isFloat(dtype)) problems.add(() => `${name} holds ${dtype}, which is no type of weights`);
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  problems.add(
    () => `${name} has the shape [${shape.join(", ")}], expected [${expected.join(", ")}]`,
  );
}
