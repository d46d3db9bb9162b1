// Weights in float16, IEEE 754 binary16: s eeeee mmmmmmmmmm, subnormals down to 2⁻²⁴. Widening is exact, and it keeps
// the payload of a NaN.
//
// Of a normal number the upper half of the float32 is the sign and the magnitude moved down by 3 bits, to whose
// exponent 127 − 15 = 112 is added; the lower half is what was moved out. Eight numbers are widened so at once, half by
// half. If one of them is not normal, `widenAny` widens four: infinity and NaN lack 112 once more; a subnormal m·2⁻²⁴
// is 2⁻¹⁴ + m·2⁻²⁴, which has the right bits, less 2⁻¹⁴. No float32 on the way is subnormal, which processors are slow with.

import {
  HALF_BIAS,
  HALF_INFINITE,
  HALF_LEAST_NORMAL,
  HALF_MAGNITUDE,
  HALF_NORMAL,
  HALF_UPPER,
  HALF_UPPER_BIAS,
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

  // @ts-ignore: decorator
  @inline
  areRegular(x: v128): bool {
    // With the sign moved out, normal magnitudes begin at 0x400 << 1, which is moved to the least integer. Infinity is
    // then 0x7000, and NaN, zero and subnormal numbers lie above it.
    const place = i16x8.add(i16x8.shl(x, 1), v128.load(HALF_WRAP));
    return !v128.any_true(i16x8.gt_s(place, v128.load(HALF_WRAPPED)));
  }

  /** The upper halves of eight normal numbers' floats. */
  // @ts-ignore: decorator
  @inline
  upper(x: v128): v128 {
    return i16x8.add(
      v128.and(i16x8.shr_s(x, 3), v128.load(HALF_UPPER)),
      v128.load(HALF_UPPER_BIAS),
    );
  }

  // @ts-ignore: decorator
  @inline
  lowOf(x: v128): v128 {
    return v128.shuffle<u16>(i16x8.shl(x, 13), this.upper(x), 0, 8, 1, 9, 2, 10, 3, 11);
  }

  // @ts-ignore: decorator
  @inline
  highOf(x: v128): v128 {
    return v128.shuffle<u16>(i16x8.shl(x, 13), this.upper(x), 4, 12, 5, 13, 6, 14, 7, 15);
  }

  low(at: usize): v128 {
    return widenAny(v128.load16x4_u(at));
  }

  high(at: usize): v128 {
    return widenAny(v128.load16x4_u(at, 8));
  }

  // @ts-ignore: decorator
  @inline
  one(at: usize): f32 {
    return f32x4.extract_lane(widenAny(i32x4.splat(<i32>load<u16>(at))), 0);
  }
}
