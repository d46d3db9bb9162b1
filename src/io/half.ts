// The two 16-bit floating types of model files, as bit patterns in a Uint16Array.
//   float16   s eeeee mmmmmmmmmm          IEEE 754 binary16, subnormals down to 2^-24
//   bfloat16  s eeeeeeee mmmmmmm          the upper half of a float32
// Widening is exact. Narrowing rounds to nearest, ties to even; overflow gives infinity; NaN stays NaN.

/** Widens float16 bit patterns `[n]` to float32 `[n]`; exact. */
export function float16ToFloat32(source: Uint16Array): Float32Array {
  const target = new Float32Array(source.length);
  const bits = new Uint32Array(target.buffer);
  for (let i = 0; i < source.length; i++) {
    const half = source[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = half & 0x7c00;
    const mantissa = half & 0x03ff;
    if (exponent === 0x7c00) bits[i] = sign | 0x7f800000 | (mantissa << 13);
    else if (exponent !== 0) bits[i] = sign | (((half & 0x7fff) << 13) + 0x38000000);
    else {
      // Zero and subnormals: mantissa * 2^-24, which float32 holds exactly.
      target[i] = mantissa / 16777216;
      bits[i] = bits[i]! | sign;
    }
  }
  return target;
}

/** Narrows float32 `[n]` to float16 bit patterns `[n]`; from 65520 on the result is infinite. */
export function float32ToFloat16(source: Float32Array): Uint16Array {
  const target = new Uint16Array(source.length);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  for (let i = 0; i < source.length; i++) {
    value[0] = source[i]!;
    const sign = (bits[0]! >>> 16) & 0x8000;
    const magnitude = bits[0]! & 0x7fffffff;
    if (magnitude > 0x7f800000) target[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) target[i] = sign | 0x7c00;
    else if (magnitude < 0x38800000) {
      // Below 2^-14 the result is subnormal, a multiple of 2^-24. That is also the spacing of float32
      // around 0.5, so that adding 0.5 rounds there, and the low bits of the sum are the result.
      bits[0] = magnitude;
      value[0] = value[0]! + 0.5;
      target[i] = sign | (bits[0]! - 0x3f000000);
    } else {
      const odd = (magnitude >>> 13) & 1;
      target[i] = sign | ((magnitude - 0x38000000 + 0x0fff + odd) >>> 13);
    }
  }
  return target;
}

/** Widens bfloat16 bit patterns `[n]` to float32 `[n]`; exact. */
export function bfloat16ToFloat32(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** Narrows float32 `[n]` to bfloat16 bit patterns `[n]`; NaN becomes the quiet NaN 0x7FC0. */
export function float32ToBfloat16(source: Float32Array): Uint16Array {
  const target = new Uint16Array(source.length);
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0; i < source.length; i++) {
    const word = bits[i]!;
    const odd = (word >>> 16) & 1;
    if ((word & 0x7fffffff) > 0x7f800000) target[i] = 0x7fc0;
    else target[i] = (word + 0x7fff + odd) >>> 16;
  }
  return target;
}
