// Weights in float16, IEEE 754 binary16: s eeeee mmmmmmmmmm, subnormals down to 2⁻²⁴. Widening is exact, and it keeps
// the payload of a NaN.
//
// With the magnitude moved up by 13 bits an exponent has the place of a float32's and lacks 127 − 15 = 112. Infinity
// and NaN lack 112 once more. A subnormal m·2⁻²⁴ is 2⁻¹⁴ + m·2⁻²⁴, which has the right bits, less 2⁻¹⁴: no float32 on the way is
// subnormal, which processors are slow with.

import {
  HALF_BIAS,
  HALF_INFINITE,
  HALF_LEAST_NORMAL,
  HALF_MAGNITUDE,
  HALF_NORMAL,
  SIGN,
} from "../math/constants";

// @ts-ignore: decorator
@unmanaged
export class F16Weight {
  // @ts-ignore: decorator
  @inline
  shift(): usize {
    return 1;
  }

  /** Four floats of four numbers of 16 bits, each in a lane of 32. */
  // @ts-ignore: decorator
  @inline
  widened(x: v128): v128 {
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
  @inline
  low(at: usize): v128 {
    return this.widened(v128.load16x4_u(at));
  }

  // @ts-ignore: decorator
  @inline
  high(at: usize): v128 {
    return this.widened(v128.load16x4_u(at, 8));
  }

  // @ts-ignore: decorator
  @inline
  one(at: usize): f32 {
    return f32x4.extract_lane(this.widened(i32x4.splat(<i32>load<u16>(at))), 0);
  }
}
