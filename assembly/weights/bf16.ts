// Weights in bfloat16, the upper half of a float32: s eeeeeeee mmmmmmm. Widening is exact.

// @ts-ignore: decorator
@unmanaged
export class BF16Weight {
  // @ts-ignore: decorator
  @inline
  shift(): usize {
    return 1;
  }

  // @ts-ignore: decorator
  @inline
  areRegular(_x: v128): bool {
    return true;
  }

  // @ts-ignore: decorator
  @inline
  lowOf(x: v128): v128 {
    return v128.shuffle<u16>(i32x4.splat(0), x, 0, 8, 1, 9, 2, 10, 3, 11);
  }

  // @ts-ignore: decorator
  @inline
  highOf(x: v128): v128 {
    return v128.shuffle<u16>(i32x4.splat(0), x, 4, 12, 5, 13, 6, 14, 7, 15);
  }

  // @ts-ignore: decorator
  @inline
  low(at: usize): v128 {
    return i32x4.shl(v128.load16x4_u(at), 16);
  }

  // @ts-ignore: decorator
  @inline
  high(at: usize): v128 {
    return i32x4.shl(v128.load16x4_u(at, 8), 16);
  }

  // @ts-ignore: decorator
  @inline
  one(at: usize): f32 {
    return reinterpret<f32>((<u32>load<u16>(at)) << 16);
  }
}
