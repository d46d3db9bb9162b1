// Tensors as a table that stays short: the same tensor of several layers is one row,
//   model.layers.{0-5}.self_attn.q_proj.weight   F16   [160, 160]   6 × 51 kB

import type { StoredTensor } from "../io/safetensors.ts";

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

export function tensorEntries(tensors: ReadonlyMap<string, StoredTensor>): TensorEntry[] {
  return [...tensors]
    .map(([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, bytes: bytes.length }))
    .sort((a, b) => compareNames(a.name, b.name));
}

/** Numbers in names count as numbers: layer 2 comes before layer 10. */
function compareNames(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** Groups in the order of their first tensors. */
export function groupTensors(tensors: readonly TensorEntry[]): TensorGroup[] {
  const groups = new Map<string, { first: TensorEntry; layers: number[] }>();
  for (const tensor of tensors) {
    const layer = /\.(\d+)\./.exec(tensor.name)?.[1];
    const pattern = tensor.name.replace(/\.\d+\./, ".#.");
    const key = JSON.stringify([pattern, tensor.dtype, tensor.shape]);
    const group = groups.get(key) ?? { first: tensor, layers: [] };
    if (layer !== undefined) group.layers.push(Number(layer));
    groups.set(key, group);
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
