// How a weight W [N, K] lies as an operand of a product, see tape/packedWeight.ts.

import { Flag, Storage, Tensor } from "../tensor/tensor";
import { BF16Weight } from "../weights/bf16";
import { F16Weight } from "../weights/f16";
import { B_BF16, B_BF16_T, B_COLS, B_F16, B_F16_T, B_PANELS, B_PANELS_T, B_ROWS } from "./blocking";
import { panelRow, unpackWeight } from "./panels";
import { widenRow } from "./stored";

/** W as the B operand of x·Wᵀ. */
export function layoutOf(w: Tensor): i32 {
  if (w.storage == Storage.BF16) return B_BF16;
  if (w.storage == Storage.F16) return B_F16;
  return w.flags & Flag.Packed ? B_PANELS : B_COLS;
}

/** W as the B operand of dY·W, which lies at `transposedData`. */
export function transposedLayout(w: Tensor): i32 {
  if (w.packedT != 0) return B_PANELS;
  if (w.storage == Storage.BF16) return B_BF16_T;
  if (w.storage == Storage.F16) return B_F16_T;
  return w.flags & Flag.Packed ? B_PANELS_T : B_ROWS;
}

export function transposedData(w: Tensor): usize {
  return w.packedT != 0 ? w.packedT : w.data;
}

/** dst [K] = row n of a packed W. */
export function weightRow(dst: usize, w: Tensor, n: i32): void {
  const rows = w.d0;
  const k = w.d1;
  if (w.storage == Storage.BF16) widenRow<BF16Weight>(dst, w.data, rows, k, n);
  else if (w.storage == Storage.F16) widenRow<F16Weight>(dst, w.data, rows, k, n);
  else panelRow(dst, w.data, k, n);
}

/** dst [N, K] = the rows of a packed W. */
export function weightRows(dst: usize, w: Tensor): void {
  if (w.storage == Storage.F32) {
    unpackWeight(dst, w.data, w.d0, w.d1);
    return;
  }
  for (let n = 0; n < w.d0; n++) weightRow(dst + ((<usize>n * <usize>w.d1) << 2), w, n);
}
