// How a weight W [N, K] lies as an operand of a product, see tape/packedWeight.ts.

import { Flag, Tensor } from "../tensor/tensor";
import { B_COLS, B_PANELS, B_PANELS_T, B_ROWS } from "./blocking";

/** W as the B operand of x·Wᵀ. */
export function layoutOf(w: Tensor): i32 {
  return w.flags & Flag.Packed ? B_PANELS : B_COLS;
}

/** W as the B operand of dY·W, which lies at `transposedData`. */
export function transposedLayout(w: Tensor): i32 {
  if (w.packedT != 0) return B_PANELS;
  return w.flags & Flag.Packed ? B_PANELS_T : B_ROWS;
}

export function transposedData(w: Tensor): usize {
  return w.packedT != 0 ? w.packedT : w.data;
}
