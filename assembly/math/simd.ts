// The few vector idioms that every kernel shares.
//   madd      a·b + c, fused where the build allows it (the accumulator is the third operand)
//   sum, max  horizontal folds in a fixed lane order, so that every build and thread gives the same bits

export class Simd {
  /** a·b + c. One fused instruction in the relaxed build, a product and a sum in the baseline. */
  // @ts-ignore: decorator
  @inline
  static madd(a: v128, b: v128, c: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
    return f32x4.add(c, f32x4.mul(a, b));
  }

  /** c − a·b. */
  // @ts-ignore: decorator
  @inline
  static nmadd(a: v128, b: v128, c: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
    return f32x4.sub(c, f32x4.mul(a, b));
  }

  /** (x0 + x2) + (x1 + x3). */
  // @ts-ignore: decorator
  @inline
  static sum(x: v128): f32 {
    const pairs = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 2, 3));
    return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
  }

  /**
   * √x, by the vector instruction: V8 takes that of SSE for a scalar, for which the processor waits hundreds of cycles after
   * operations of 256 bits (wideVectors).
   */
  // @ts-ignore: decorator
  @inline
  static sqrt(x: f32): f32 {
    return f32x4.extract_lane(f32x4.sqrt(f32x4.splat(x)), 0);
  }

  /** The largest lane; NaN wins. */
  // @ts-ignore: decorator
  @inline
  static max(x: v128): f32 {
    const pairs = f32x4.max(x, v128.shuffle<f32>(x, x, 2, 3, 2, 3));
    return max<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
  }
}
