// One block of C = or += A · B, once its operands lie as the tiles read them. The loops over blocks are in gemm.ts.
// The order is strips of columns, then blocks of k, then rows: a strip of B's panels is read from end to end, and is in
// the first cache for all rows but the first.
import { Blocks, MR, NR } from "./blocking";
import { tile } from "./tile";
import { wideTile } from "./wide";

/** One block of C, tile by tile: base product in blocks of k, bias, low-rank branch, in this order. */
// biome-ignore format: one operand a line
export function block(
  spread: bool, widest: i32,
  mc: i32, nc: i32, depth: i32,
  a: usize, aRow: usize, aStep: usize, aPanel: usize,
  b: usize, bPanel: usize, bStep: usize,
  c: usize, cStep: usize,
  accumulate: bool,
  bias: usize,
  r: i32, t: usize, tRow: usize, bt: usize,
  sums: usize,
): void {
  const tPanel: usize = spread ? tRow << 2 : (<usize>r) << 4;
  const btPanel = (<usize>r) << 5;
  while (nc > 0) {
    const nr = nc < widest ? min(NR, nc) : widest;
    let k0 = 0;
    do {
      const kc = min(Blocks.kc(), depth - k0);
      const last = k0 + kc >= depth;
      const adds = accumulate || k0 > 0;
      const bk = b + <usize>k0 * bStep;
      let ai = a + <usize>k0 * aStep;
      let ti = t;
      let ci = c;
      for (let i = 0; i < mc; i += MR) {
        const mr = min(MR, mc - i);
        if (kc > 0) {
          if (spread) wideTile(mr, nr, kc, ai, aRow, aStep, bk, bPanel, bStep, ci, cStep, adds, sums);
          else tile(mr, nr, kc, ai, 16, bk, bStep, ci, cStep, adds, sums);
        }
        if (last) {
          if (bias != 0) addBias(mr, nr, bias, ci, cStep);
          if (r > 0) {
            if (spread) wideTile(mr, nr, r, ti, tRow, 4, bt, btPanel, 32, ci, cStep, true, sums);
            else tile(mr, nr, r, ti, 16, bt, 32, ci, cStep, true, sums);
          }
        }
        ai += aPanel;
        ti += tPanel;
        ci += cStep << 2;
      }
      k0 += kc;
    } while (k0 < depth);
    const panels: usize = (<usize>nr + 7) >> 3;
    b += panels * bPanel;
    bt += panels * btPanel;
    c += panels << 5;
    if (bias != 0) bias += panels << 5;
    nc -= nr;
  }
}

/** C [m, n] += bias [n]. */
export function addBias(m: i32, n: i32, bias: usize, c: usize, cStep: usize): void {
  for (let i = 0; i < m; i++) {
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const at = (<usize>j) << 2;
      v128.store(c + at, f32x4.add(v128.load(c + at), v128.load(bias + at)));
    }
    for (; j < n; j++) {
      const at = (<usize>j) << 2;
      store<f32>(c + at, load<f32>(c + at) + load<f32>(bias + at));
    }
    c += cStep;
  }
}
