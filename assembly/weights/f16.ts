// Weights in float16, IEEE 754 binary16: s eeeee mmmmmmmmmm, subnormals down to 2⁻²⁴. Widening is exact, and it keeps
// the payload of a NaN.
//
// With the magnitude moved up by 13 bits an exponent has the place of a float32's and lacks 127 − 15 = 112. Four normal
// numbers are widened at once; if one of them is not normal, by `widenAny`:
// infinity and NaN lack 112 once more; a subnormal m·2⁻²⁴ is 2⁻¹⁴ + m·2⁻²⁴, which has the right bits, less 2⁻¹⁴.
// No float32 on the way is subnormal, which processors are slow with.

import {
  HALF_BIAS,
  HALF_INFINITE,
  HALF_LEAST_NORMAL,
  HALF_MAGNITUDE,
  HALF_NORMAL,
  HALF_SIGNED,
  HALF_WRAP,
  HALF_WRAPPED,
  SIGN,
} from "../math/constants";

/** Four floats of any four numbers of 16 bits, each in a lane of 32. */
function widenAny(x: v128): v128 {
  const bias = v128.load(HALF_BIAS);
  const leastNormal = v128.load(HALF_LEAST_NORMAL);
  const magnitude = i32x4.shl(v128.and(x, v128.load(HALF_MAGNITUDE)), 13);
  const special = v128.and(i32x4.ge_s(magnitude, v128.load(HALF_INFINITE)), bias);
  const normal = i32x4.add(i32x4.add(magnitude, bias), special);
  const subnormal = f32x4.sub(i32x4.add(magnitude, leastNormal), leastNormal);
  const isNormal = i32x4.ge_s(magnitude, v128.load(HALF_NORMAL));
  const sign = v128.and(i32x4.shl(x, 16), v128.load(SIGN));
  return v128.or(v128.bitselect(normal, subnormal, isNormal), sign);
}

// @ts-ignore: decorator
@unmanaged
export class F16Weight {
  // @ts-ignore: decorator
  @inline
  shift(): usize {
    return 1;
  }

  /** Four floats of four numbers of 16 bits, each in a lane of 32, with its sign in front. */
  // @ts-ignore: decorator
  @inline
  widened(x: v128): v128 {
    // With the sign moved out, normal magnitudes begin at 0x400 << 17, which is moved to the least integer. Infinity is then
    // 0x70000000, and NaN, zero and subnormal numbers lie above it.
    const place = i32x4.add(i32x4.shl(x, 17), v128.load(HALF_WRAP));
    if (v128.any_true(i32x4.gt_s(place, v128.load(HALF_WRAPPED)))) return widenAny(x);
    return i32x4.add(v128.and(i32x4.shl(x, 13), v128.load(HALF_SIGNED)), v128.load(HALF_BIAS));
  }

  // @ts-ignore: decorator
  @inline
  low(at: usize): v128 {
    return this.widened(v128.load16x4_s(at));
  }

  // @ts-ignore: decorator
  @inline
  high(at: usize): v128 {
    return this.widened(v128.load16x4_s(at, 8));
  }

  // @ts-ignore: decorator
  @inline
  one(at: usize): f32 {
    return f32x4.extract_lane(widenAny(i32x4.splat(<i32>load<u16>(at))), 0);
  }
}
