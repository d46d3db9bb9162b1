// Tensors as a table that stays short: the same tensor of several layers is one row,
//   model.layers.{0-5}.self_attn.q_proj.weight   F16   [160, 160]   6 × 51 kB

import type { FileTensor } from "../io/safetensors-header.ts";

/** A tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Tensors that differ in the number of their layer alone; `bytes` is the size of one. */
export interface TensorGroup extends TensorEntry {
  readonly count: number;
}

// Numbers in names count as numbers: layer 2 comes before layer 10.
const NAMES = new Intl.Collator("en", { numeric: true });

export function tensorEntries(tensors: ReadonlyMap<string, FileTensor>): TensorEntry[] {
  const entries: TensorEntry[] = [];
  for (const [name, { dtype, shape, begin, end }] of tensors) {
    entries.push({ name, dtype, shape, bytes: end - begin });
  }
  return entries.sort((a, b) => NAMES.compare(a.name, b.name));
}

/** Groups in the order of their first tensors; tensors that would begin a group beyond the first `most` are left out. */
export function groupTensors(
  tensors: readonly TensorEntry[],
  most: number = Number.POSITIVE_INFINITY,
): TensorGroup[] {
  const groups = new Map<string, { first: TensorEntry; layers: number[] }>();
  for (const tensor of tensors) {
    const layer = /\.(\d+)\./.exec(tensor.name)?.[1];
    const pattern = tensor.name.replace(/\.\d+\./, ".#.");
    // The name comes last: it may hold anything.
    const key = `${tensor.dtype} ${tensor.shape} ${pattern}`;
    let group = groups.get(key);
    if (group === undefined && groups.size >= most) continue;
    if (group === undefined) groups.set(key, (group = { first: tensor, layers: [] }));
    if (layer !== undefined) group.layers.push(Number(layer));
  }
  return [...groups.values()].map(({ first, layers }) => ({
    ...first,
    name: layers.length < 2 ? first.name : first.name.replace(/\.\d+\./, `.{${ranges(layers)}}.`),
    count: Math.max(1, layers.length),
  }));
}

/** [0, 1, 2, 5] → "0-2,5" */
export function ranges(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const number of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
