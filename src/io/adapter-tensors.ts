// The tensors of a LoRA adapter file against the modules they must fit: `base_model.model.<path>.lora_A.weight`
// [r, in] and `.lora_B.weight` [out, r]. Older and foreign files leave out the prefix, name the adapter
// (`<path>.lora_A.default.weight`), or bring what wrappers of the model put into names; all are read. PEFT stores
// weights of the base beside an adapter on the head: they must be those of the model. PEFT ignores what does not fit;
// here everything that is missing, left over or of another shape is listed at once, before any of it is used.
import { FormatError } from "../core/error.ts";
import { quote } from "./json.ts";
import { Problems } from "./problems.ts";
import { fromFloat32, type StoredTensor, toFloat32 } from "./safetensors.ts";
import { bareName, PREFIX, wrapperOf } from "./tensor-names.ts";

export { PREFIX };

/** A module that the adapter must hold tensors for. */
export interface AdaptedModule {
  readonly path: string;
  readonly r: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** A [r, in] and B [out, r] of one module. */
export interface StoredPair {
  readonly a: StoredTensor;
  readonly b: StoredTensor;
}

/** A weight of the model as files hold it. */
export interface BaseTensor {
  readonly shape: readonly number[];
  readonly values: () => Float32Array;
}

/** The names under which PEFT stores the tensors of a module. */
export function adapterTensorNames(path: string): { a: string; b: string } {
  return { a: `${PREFIX}${path}.lora_A.weight`, b: `${PREFIX}${path}.lora_B.weight` };
}

/**
 * Finds A and B of every module.
 * @param base the model's own tensor of a name, if it has one
 * @returns the pairs by path of the module, and remarks: tensors that hold NaN or infinity, names that were cleaned,
 *   weights of the base that the file repeats
 * @throws FormatError that lists everything that does not fit
 */
export function matchAdapterTensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  modules: readonly AdaptedModule[],
  file: string,
  base: (name: string) => BaseTensor | null = () => null,
): { pairs: Map<string, StoredPair>; warnings: string[] } {
  const problems = new Problems();
  const warnings: string[] = [];
  const remark = (text: string): void => {
    warnings.push(`${file}: ${text}`);
  };
  const paths = new Set(modules.map(({ path }) => path));
  const found = sortByModule(tensors, paths, base, problems, remark);
  const pairs = new Map<string, StoredPair>();
  for (const module of modules) {
    const { A: a, B: b } = found.get(module.path) ?? {};
    if (a === undefined || b === undefined) {
      const missing = a !== undefined ? "lora_B" : b !== undefined ? "lora_A" : "lora_A and lora_B";
      problems.add(() => `${module.path} has no ${missing}`);
      continue;
    }
    checkShape(`${module.path}.lora_A`, a, [module.r, module.inFeatures], problems);
    checkShape(`${module.path}.lora_B`, b, [module.outFeatures, module.r], problems);
    pairs.set(module.path, { a, b });
  }
  if (problems.any) {
    throw new FormatError(
      `${file} does not fit this model and its adapter_config.json:\n${problems.lines()}\n` +
        "Load it onto the model that it was made for.",
    );
  }
  return { pairs, warnings: [...warnings, ...findNonFinite(pairs, file)] };
}

interface FoundPair {
  A?: StoredTensor;
  B?: StoredTensor;
}

function sortByModule(
  tensors: ReadonlyMap<string, StoredTensor>,
  paths: ReadonlySet<string>,
  base: (name: string) => BaseTensor | null,
  problems: Problems,
  remark: (text: string) => void,
): Map<string, FoundPair> {
  const found = new Map<string, FoundPair>();
  const wrappers = new Set<string>();
  for (const [name, stored] of tensors) {
    const bare = bareName(name);
    const wrapper = wrapperOf(name);
    if (wrapper !== null) wrappers.add(wrapper);
    // In between stands the name of the adapter, of files that were not saved by PEFT's own function.
    const match = /^(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/.exec(bare);
    const path = match?.[1];
    if (path !== undefined && paths.has(path)) {
      const pair = found.get(path) ?? {};
      found.set(path, pair);
      const side = match![2] as "A" | "B";
      if (pair[side] !== undefined) {
        problems.add(() => `${quote(name)} is there twice, under two names`);
      }
      pair[side] = stored;
      continue;
    }
    const own = bare.replace(/\.base_layer\.(weight|bias)$/, ".$1");
    const weight = base(own);
    if (weight === null) problems.add(() => `${quote(name)} ${reasonLeftOver(bare, path)}`);
    else if (isSame(stored, weight))
      remark(`${quote(name)} is the model's own ${own}, and was left out.`);
    else {
      problems.add(
        () =>
          `${quote(name)} [${stored.shape.join(", ")}] differs from the model's ${own} [${weight.shape.join(", ")}]: ` +
          "the adapter comes with a base weight of its own, which is not supported",
      );
    }
  }
  for (const wrapper of wrappers) {
    remark(
      `names hold ${quote(wrapper)}, which a wrapper around the model put there; it was left out.`,
    );
  }
  return found;
}

function reasonLeftOver(name: string, path: string | undefined): string {
  if (path !== undefined) return "belongs to no module that the config adapts";
  if (name.endsWith("lora_magnitude_vector")) return "belongs to DoRA, but use_dora is not set";
  if (/lora_embedding_[AB]$/.test(name)) return "adapts an embedding, which is not supported";
  if (name.endsWith(".bias")) return "is a bias that was trained, which is not supported";
  return "is no tensor of a LoRA adapter";
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
  if (shape.length === 2 && shape.every((size, i) => size === expected[i])) return;
  problems.add(
    () => `${name} has the shape [${shape.join(", ")}], expected [${expected.join(", ")}]`,
  );
}

function findNonFinite(pairs: ReadonlyMap<string, StoredPair>, file: string): string[] {
  const warnings: string[] = [];
  for (const [path, { a, b }] of pairs) {
    for (const [side, stored] of [
      ["lora_A", a],
      ["lora_B", b],
    ] as const) {
      if (toFloat32(stored).every(Number.isFinite)) continue;
      warnings.push(`${file}: ${path}.${side} holds NaN or infinity; merging will refuse it.`);
    }
  }
  return warnings;
}
