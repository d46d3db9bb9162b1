// The tensors of a LoRA adapter file against the modules they must fit: `base_model.model.<path>.lora_A.weight`
// [r, in] and `.lora_B.weight` [out, r]. Older and foreign files leave out the prefix, or name the adapter:
// `<path>.lora_A.default.weight`; both are read. PEFT ignores what does not fit; here everything that is
// missing, left over or of another shape is listed at once, before any of it is used.
import { FormatError } from "../core/error.ts";
import { quote } from "./json.ts";
import { type StoredTensor, toFloat32 } from "./safetensors.ts";

/** What PEFT puts before the path of a module. */
export const PREFIX = "base_model.model.";
const LISTED = 20;

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

/** The names under which PEFT stores the tensors of a module. */
export function adapterTensorNames(path: string): { a: string; b: string } {
  return { a: `${PREFIX}${path}.lora_A.weight`, b: `${PREFIX}${path}.lora_B.weight` };
}

/**
 * Finds A and B of every module.
 * @returns the pairs by path of the module, and a warning for each tensor that holds NaN or infinity
 * @throws FormatError that lists everything that does not fit
 */
export function matchAdapterTensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  modules: readonly AdaptedModule[],
  file: string,
): { pairs: Map<string, StoredPair>; warnings: string[] } {
  const problems: string[] = [];
  const found = sortByModule(tensors, new Set(modules.map(({ path }) => path)), problems);
  const pairs = new Map<string, StoredPair>();
  for (const module of modules) {
    const { A: a, B: b } = found.get(module.path) ?? {};
    if (a === undefined || b === undefined) {
      const missing = a !== undefined ? "lora_B" : b !== undefined ? "lora_A" : "lora_A and lora_B";
      problems.push(`${module.path} has no ${missing}`);
      continue;
    }
    checkShape(`${module.path}.lora_A`, a, [module.r, module.inFeatures], problems);
    checkShape(`${module.path}.lora_B`, b, [module.outFeatures, module.r], problems);
    pairs.set(module.path, { a, b });
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, LISTED);
    if (problems.length > LISTED) shown.push(`and ${problems.length - LISTED} more`);
    throw new FormatError(
      `${file} does not fit this model and its adapter_config.json:\n  ${shown.join("\n  ")}\n` +
        "Load it onto the model that it was made for.",
    );
  }
  return { pairs, warnings: findNonFinite(pairs, file) };
}

interface FoundPair {
  A?: StoredTensor;
  B?: StoredTensor;
}

function sortByModule(
  tensors: ReadonlyMap<string, StoredTensor>,
  paths: ReadonlySet<string>,
  problems: string[],
): Map<string, FoundPair> {
  const found = new Map<string, FoundPair>();
  for (const [name, stored] of tensors) {
    const bare = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
    const match = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(bare);
    const path = match?.[1];
    if (path === undefined || !paths.has(path)) {
      problems.push(`${quote(name)} ${reasonLeftOver(bare, path)}`);
      continue;
    }
    const pair = found.get(path) ?? {};
    found.set(path, pair);
    const side = match![2] as "A" | "B";
    if (pair[side] !== undefined) problems.push(`${quote(name)} is there twice, under two names`);
    pair[side] = stored;
  }
  return found;
}

function reasonLeftOver(name: string, path: string | undefined): string {
  if (path !== undefined) return "belongs to no module that the config adapts";
  if (name.endsWith("lora_magnitude_vector")) return "belongs to DoRA, but use_dora is not set";
  if (/lora_embedding_[AB]$/.test(name)) return "adapts an embedding, which is not supported";
  return "is no tensor of a LoRA adapter";
}

function checkShape(
  name: string,
  { shape, dtype }: StoredTensor,
  expected: readonly number[],
  problems: string[],
): void {
  if (!["F32", "F16", "BF16", "F64"].includes(dtype)) {
    problems.push(`${name} holds ${dtype}, which is no type of weights`);
  }
  if (shape.length === 2 && shape.every((size, i) => size === expected[i])) return;
  problems.push(`${name} has the shape [${shape.join(", ")}], expected [${expected.join(", ")}]`);
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
