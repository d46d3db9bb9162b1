// Frozen weights W [N, K]: one storage, the packed panels that x·Wᵀ reads in place (gemm/panels.ts), and where asked
// for a second, "turned" one: ceil(K/8) panels [N][8], in place for dX = dY·W, which else packs them at every call.

import { weightRows } from "../gemm/weight";
import { moveHalves } from "../gemm/stored";
import { readsPanels } from "./dispatch";
import { B_PANELS_T } from "../gemm/blocking";
import { packB } from "../gemm/pack";
import { packWeight, panelFloats, unpackWeight } from "../gemm/panels";
import { allocate, reserveScratch } from "../memory/allocate";
import { release } from "../memory/heap";
import { lines } from "../memory/size";
import { state } from "../memory/state";
import {
  dataBytes,
  dim,
  Flag,
  RECORD_BYTES,
  source,
  Storage,
  Tensor,
  tensor,
} from "../tensor/tensor";

/** Do eight rows at a time become panels in place? Then no tape reads the rows, and there is no row beside whole panels. */
function packsInPlace(t: Tensor): bool {
  return state().depth == 0 && (dim(t, 0) & 7) == 0;
}

/**
 * Lays a persistent weight out as panels, in place where that can be: then the result is `at`. Else its rows go to a record of their own, which is also what the ops on the tape
 * that need rows read from now on; it is to be disposed of when the tape is gone, for views share its data. 0 when out
 * of memory: nothing has changed.
 */
export function pack(at: usize): usize {
  const t = tensor(at);
  const k = dim(t, 1);
  if (!reserveScratch(lines(8, k))) return 0;
  if (packsInPlace(t)) {
    t.flags |= Flag.Packed;
    const scratch = state().scratch;
    const bytes = (<usize>k) << 5;
    for (let panel = t.data; panel < t.data + dataBytes(t); panel += bytes) {
      memory.copy(scratch, panel, bytes);
      packWeight(panel, scratch, 8, k);
    }
    return at;
  }
  const rows = allocate(RECORD_BYTES);
  const panels = allocate((<usize>panelFloats(dim(t, 0), dim(t, 1))) << 2);
  if (rows == 0 || panels == 0) {
    release(rows);
    release(panels);
    return 0;
  }
  memory.copy(rows, at, RECORD_BYTES);
  tensor(rows).root = rows;
  tensor(rows).grad = 0;
  for (let r = state().tail; r != 0; r = tensor(r).previous) {
    const y = tensor(r);
    for (let i = 0; i < y.sources; i++) {
      if (source(y, i) == t && !readsPanels(y.op, i)) {
        store<usize>(r + ((<usize>i) << 2), rows, offsetof<Tensor>("s0"));
      }
    }
  }
  t.data = panels;
  t.flags |= Flag.Packed;
  fillPanels(at, tensor(rows).data);
  return rows;
}

/** Panels of a packed weight = rows. */
export function fillPanels(at: usize, rows: usize): void {
  const t = tensor(at);
  packWeight(t.data, rows, dim(t, 0), dim(t, 1));
  if (t.packedT != 0) packTransposed(t);
}

function packTransposed(t: Tensor): void {
  packB(t.packedT, t.data, B_PANELS_T, dim(t, 1), dim(t, 0), dim(t, 1));
}

/** Keeps the turned panels of a packed weight as well, or no longer. False when out of memory: nothing has changed. */
export function prepack(at: usize, both: bool): bool {
  const t = tensor(at);
  if (both == (t.packedT != 0)) return true;
  release(t.packedT);
  t.packedT = 0;
  if (!both) return true;
  t.packedT = allocate((<usize>panelFloats(dim(t, 1), dim(t, 0))) << 2);
  if (t.packedT == 0) return false;
  packTransposed(t);
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
  prepack(at, false);
}

/** Moves the bits of `count` rows of a weight of a storage type from `rows` to its panels, or back. */
export function moveStored(at: usize, rows: usize, first: i32, count: i32, toRows: bool): void {
  const t = tensor(at);
  moveHalves(t.data, rows, dim(t, 0), dim(t, 1), first, count, toRows);
}

/** Makes a weight of a storage type one of float32, in rows. False when out of memory: nothing has changed. */
export function widen(at: usize): bool {
  const t = tensor(at);
  const rows = allocate((<usize>t.size) << 2);
  if (rows == 0) return false;
  weightRows(rows, t);
  release(t.data);
  t.data = rows;
  t.storage = Storage.F32;
  t.flags &= ~Flag.Packed;
  return true;
}
