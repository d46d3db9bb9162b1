// Frozen weights: one storage, the packed panels that linear layers read in place (gemm/panels.ts).

import { note } from "./action";
import { packWeight, panelFloats, unpackWeight } from "./gemm/panels";
import { allocate, release, reserveScratch } from "./memory";
import { Op } from "./op";
import { lines } from "./size";
import { state } from "./state";
import { dataBytes, dim, Flag, tensor } from "./tensor";

/** Lays a persistent weight [N, K] out as panels. False when out of memory: nothing has changed. */
export function pack(at: usize): bool {
  const t = tensor(at);
  if (!reserveScratch(lines(8, dim(t, 1)))) return false;
  const panels = allocate((<usize>panelFloats(dim(t, 0), dim(t, 1))) << 2);
  if (panels == 0) return false;
  packWeight(panels, t.data, dim(t, 0), dim(t, 1));
  release(t.data);
  t.data = panels;
  t.flags |= Flag.Packed;
  return true;
}

/**
 * Lays a packed weight out in rows again, in place: a panel lies where its eight rows will. It needs scratch for one panel,
 * which `pack` has reserved, so it cannot fail.
 */
export function unpack(at: usize): void {
  const t = tensor(at);
  const k = dim(t, 1);
  const scratch = state().scratch;
  let rows = t.data;
  for (let left = dim(t, 0); left > 0; left -= 8) {
    memory.copy(scratch, rows, (<usize>k) << 5);
    unpackWeight(rows, scratch, min(8, left), k);
    rows += (<usize>k) << 5;
  }
  t.flags &= ~Flag.Packed;
}

/** target = source in rows; both of one shape. */
export function copyDense(target: usize, source: usize): void {
  note(Op.CopyDense, target, <i32>source);
  const t = tensor(target);
  const s = tensor(source);
  if (s.flags & Flag.Packed) unpackWeight(t.data, s.data, dim(s, 0), dim(s, 1));
  else memory.copy(t.data, s.data, dataBytes(s));
}
