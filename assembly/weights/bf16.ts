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
