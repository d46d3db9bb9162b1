// Four rows of C across neighbouring panels of B, for callers that lay their operands out as panels themselves.

import { NR, TILE_FORM, widestTile } from "./blocking";
import { tile } from "./tile";
import { wideTile } from "./wide";

/** C [4, n] = or += A · B for n > 0, rounded up to 8: A a panel with steps of aStep, B panels [k][8] `panel` bytes apart. */
// biome-ignore format: one operand a line
export function tileRow(
  n: i32, k: i32,
  a: usize, aStep: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  const widest = widestTile(load<i32>(TILE_FORM));
  if (widest > NR) {
    for (; n > widest - NR; n -= widest) {
      wideTile(4, widest, k, a, 4, aStep, b, panel, bStep, c, ldc, accumulate, 0);
      b += (<usize>widest >> 3) * panel;
      c += (<usize>widest) << 2;
    }
  }
  for (; n > 0; n -= NR) {
    tile(4, NR, k, a, aStep, b, bStep, c, ldc, accumulate, 0);
    b += panel;
    c += 32;
  }
}
