// The packed form of a weight W [N, K], in which frozen weights live:
//   ceil(N/8) panels of [K][8] floats, panel p at p·K·8; lane i of step k is W[8p + i, k]; tail lanes are zeros.
// It is the packed B operand of x·Wᵀ as it stands (B_PANELS), and 8x8 blocks of it are contiguous for dY·W.

import { bounded } from "../memory/size";
import { B_COLS, Blocks, NR } from "./blocking";
import { packB, Transpose } from "./pack";

/** Floats that the panels of W [n, k] take; their bytes, if too many, are as in size.ts. */
export function panelFloats(n: i32, k: i32): i32 {
  return <i32>(bounded((<u64>Blocks.roundUp(n, NR) * <u64>k) << 2) >> 2);
}

/** panels = packed W [n, k]. */
export function packWeight(dst: usize, w: usize, n: i32, k: i32): void {
  packB(dst, w, B_COLS, k, k, n);
}

/** W [n, k] = row-major form of the panels. */
export function unpackWeight(dst: usize, panels: usize, n: i32, k: i32): void {
  const stride = (<usize>k) << 2;
  let row = 0;
  for (; row + 4 <= n; row += 4) {
    let out = dst + <usize>row * stride;
    let src = panels + <usize>(row & -NR) * stride + ((<usize>(row & 4)) << 2);
    let p = 0;
    for (; p + 4 <= k; p += 4) {
      Transpose.block(out, stride, src, 32);
      out += 16;
      src += 128;
    }
    for (; p < k; p++) {
      for (let i: usize = 0; i < 4; i++) {
        store<f32>(out + i * stride, load<f32>(src + (i << 2)));
      }
      out += 4;
      src += 32;
    }
  }
  for (; row < n; row++) panelRow(dst + <usize>row * stride, panels, k, row);
}

/** dst [k] = row n of the packed W. */
export function panelRow(dst: usize, panels: usize, k: i32, n: i32): void {
  let src = panels + ((<usize>(n & -NR) * <usize>k + <usize>(n & (NR - 1))) << 2);
  const end = dst + ((<usize>k) << 2);
  while (dst < end) {
    store<f32>(dst, load<f32>(src));
    dst += 4;
    src += 32;
  }
}
