// Frozen weights: one storage, the packed panels that linear layers read in place (gemm/panels.ts).

import { note } from "./action";
import { packWeight, panelFloats, unpackWeight } from "./gemm/panels";
import { allocate, release } from "./memory";
import { Op } from "./op";
import { dataBytes, dim, Flag, tensor } from "./tensor";

/** Lays a persistent weight [N, K] out as panels. False when out of memory: nothing has changed. */
export function pack(at: usize): bool {
  const t = tensor(at);
  const panels = allocate((<usize>panelFloats(dim(t, 0), dim(t, 1))) << 2);
  if (panels == 0) return false;
  packWeight(panels, t.data, dim(t, 0), dim(t, 1));
  release(t.data);
  t.data = panels;
  t.flags |= Flag.Packed;
  return true;
}

/** Lays a packed weight out in rows again. False when out of memory: nothing has changed. */
export function unpack(at: usize): bool {
  const t = tensor(at);
  const rows = allocate((<usize>t.size) << 2);
  if (rows == 0) return false;
  unpackWeight(rows, t.data, dim(t, 0), dim(t, 1));
  release(t.data);
  t.data = rows;
  t.flags &= ~Flag.Packed;
  return true;
}

/** target = source in rows; both of one shape. */
export function copyDense(target: usize, source: usize): void {
  note(Op.CopyDense, target, <i32>source);
  const t = tensor(target);
  const s = tensor(source);
  if (s.flags & Flag.Packed) unpackWeight(t.data, s.data, dim(s, 0), dim(s, 1));
  else memory.copy(t.data, s.data, dataBytes(s));
}
