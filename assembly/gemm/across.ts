// Four rows of C across neighbouring panels of B, for callers that lay their operands out as panels themselves.

import { NR, PAIRED, TILE_FORM } from "./policy";
import { tile } from "./tile";
import { wideTile } from "./wide";

/** C [4, n] = or += A · B for n > 0, rounded up to 8: A a panel with steps of aStep, B panels [k][8] `panel` bytes apart. */
// biome-ignore format: one operand a line
export function tilesAcross(
  n: i32, k: i32,
  a: usize, aStep: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  if (ASC_FEATURE_RELAXED_SIMD && load<i32>(TILE_FORM) == PAIRED) {
    for (; n > NR; n -= 2 * NR) {
      wideTile(4, 2 * NR, k, a, 4, aStep, b, panel, bStep, c, ldc, accumulate, 0);
      b += 2 * panel;
      c += 64;
    }
  }
  for (; n > 0; n -= NR) {
    tile(4, NR, k, a, aStep, b, bStep, c, ldc, accumulate, 0);
    b += panel;
    c += 32;
  }
}
