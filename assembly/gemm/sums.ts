// The end of a micro-tile: its sums go from registers to C.

export class Sums {
  /** C [1, 8] = or += one row of sums. */
  // @ts-expect-error: decorator
  @inline
  static put(c: usize, accumulate: bool, s0: v128, s1: v128): void {
    if (accumulate) {
      s0 = f32x4.add(v128.load(c), s0);
      s1 = f32x4.add(v128.load(c, 16), s1);
    }
    v128.store(c, s0);
    v128.store(c, s1, 16);
  }
}
