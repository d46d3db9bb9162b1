// The v128 constants that kernels load before their loops: some engines rebuild a vector literal at every use,
// a load costs one instruction. One slot is 16 bytes; a polynomial is a run of slots, lowest power first.
//
//   CONSTANTS (1024): | f32x4 values | exp | log | tanh | erf | f64x2: sin, cos | philox | activations | float16 | free ... 4096
//
// The main instance calls writeConstants once; the slots are the same memory for every thread.
// The polynomials of log, tanh, erf, sin and cos are minimax fits (Remez) to relative error; exp's is Cephes'.

import { CONSTANTS } from "../memory/layout";

// f32x4 splats of single values.
export const SIGN: usize = CONSTANTS + 16 * 0;
export const ONE: usize = CONSTANTS + 16 * 1;
export const TWO: usize = CONSTANTS + 16 * 2;
export const HALF: usize = CONSTANTS + 16 * 3;
/** log2(e). */
export const LOG2E: usize = CONSTANTS + 16 * 4;
/** ln 2 = LN2_HIGH + LN2_LOW; the high part has 9 bits, so n·LN2_HIGH is exact for every exponent n. */
export const LN2_HIGH: usize = CONSTANTS + 16 * 5;
export const LN2_LOW: usize = CONSTANTS + 16 * 6;

/** exp: least and greatest argument that the scaling can express, and the rounding number 1.5·2²³ + 126. */
export const EXP_LEAST: usize = CONSTANTS + 16 * 7;
export const EXP_GREATEST: usize = CONSTANTS + 16 * 8;
export const EXP_ROUND: usize = CONSTANTS + 16 * 9;
/** (exp(r) − 1 − r) / r², 6 coefficients. */
export const EXP: usize = CONSTANTS + 16 * 10;

/** log: 2⁻¹²⁶, 2²³, 23, the bits of sqrt(1/2), infinity. */
export const LEAST_NORMAL: usize = CONSTANTS + 16 * 16;
export const TWO_TO_23: usize = CONSTANTS + 16 * 17;
export const TWENTY_THREE: usize = CONSTANTS + 16 * 18;
export const SQRT_HALF: usize = CONSTANTS + 16 * 19;
export const INFINITE: usize = CONSTANTS + 16 * 20;
/** (log(1 + f) − f + f²/2) / f³, 8 coefficients. */
export const LOG: usize = CONSTANTS + 16 * 21;

/** Where tanh leaves its polynomial. */
export const TANH_SMALL: usize = CONSTANTS + 16 * 29;
/** (tanh(x) − x) / x³ in x², 5 coefficients. */
export const TANH: usize = CONSTANTS + 16 * 30;

/** Where erf leaves its polynomial, and where it has become 1. */
export const ERF_SMALL: usize = CONSTANTS + 16 * 35;
export const ERF_GREATEST: usize = CONSTANTS + 16 * 36;
/** erf(x)/x − 1 in x², 7 coefficients. */
export const ERF: usize = CONSTANTS + 16 * 37;
/** log(1 − erf(x)) in x, 8 coefficients. */
export const ERF_TAIL: usize = CONSTANTS + 16 * 44;

/** f32x4: above it (2²⁷) sin and cos have no meaning left. */
export const ANGLE_GREATEST: usize = CONSTANTS + 16 * 52;
// f64x2 splats for sin and cos.
export const TWO_OVER_PI: usize = CONSTANTS + 16 * 53;
/** 1.5·2⁵². */
export const ANGLE_ROUND: usize = CONSTANTS + 16 * 54;
/** π/2 in three parts of 26, 26 and 53 bits, negated. */
export const QUARTER: usize = CONSTANTS + 16 * 55;
/** (sin(r) − r) / r³ in r², 4 coefficients. */
export const SIN: usize = CONSTANTS + 16 * 58;
/** (cos(r) − 1 + r²/2) / r⁴ in r², 4 coefficients. */
export const COS: usize = CONSTANTS + 16 * 62;
export const ONE_64: usize = CONSTANTS + 16 * 66;
export const HALF_64: usize = CONSTANTS + 16 * 67;
export const SIGN_64: usize = CONSTANTS + 16 * 68;
/** The integer 1 in both 64-bit lanes. */
export const INTEGER_ONE_64: usize = CONSTANTS + 16 * 69;

/** Philox: the multipliers as lanes (M0, M1, M0, M1). */
export const PHILOX_MULTIPLIER: usize = CONSTANTS + 16 * 70;
/** What a round adds to the key, as lanes (W0, W1, W0, W1). */
export const PHILOX_WEYL: usize = CONSTANTS + 16 * 71;
/** 2⁻²⁴ and 2π. */
export const TWO_TO_MINUS_24: usize = CONSTANTS + 16 * 72;
export const TWO_PI: usize = CONSTANTS + 16 * 73;
export const MINUS_TWO: usize = CONSTANTS + 16 * 74;

export const MINUS_ONE: usize = CONSTANTS + 16 * 75;
/** Activations: sqrt(1/2), −1/2, and 1/sqrt(2π), the normal density at 0. */
export const ROOT_HALF: usize = CONSTANTS + 16 * 76;
export const MINUS_HALF: usize = CONSTANTS + 16 * 77;
export const NORMAL_PEAK: usize = CONSTANTS + 16 * 78;
/** 2·sqrt(2/π), that times 0.044715, and that times 3·0.044715. */
export const GELU_LINEAR: usize = CONSTANTS + 16 * 79;
export const GELU_CUBIC: usize = CONSTANTS + 16 * 80;
export const GELU_SLOPE: usize = CONSTANTS + 16 * 81;

/** i32x4: 0, 1, 2, 3. */
export const INTEGERS: usize = CONSTANTS + 16 * 82;

/** float16: the bits below the sign; moved up by 13, the least normal magnitude and infinity; see weights/f16.ts. */
export const HALF_MAGNITUDE: usize = CONSTANTS + 16 * 83;
export const HALF_NORMAL: usize = CONSTANTS + 16 * 84;
export const HALF_INFINITE: usize = CONSTANTS + 16 * 85;
/** What the exponent lacks, 112; and the float32 2⁻¹⁴. */
export const HALF_BIAS: usize = CONSTANTS + 16 * 86;
export const HALF_LEAST_NORMAL: usize = CONSTANTS + 16 * 87;
/** Of eight at once: the bits of a float32's upper half below the exponent's top, what its exponent lacks, and the test. */
export const HALF_UPPER: usize = CONSTANTS + 16 * 88;
export const HALF_UPPER_BIAS: usize = CONSTANTS + 16 * 89;
export const HALF_WRAP: usize = CONSTANTS + 16 * 90;
export const HALF_WRAPPED: usize = CONSTANTS + 16 * 91;

function put(address: usize, value: f32): void {
  v128.store(address, f32x4.splat(value));
}

function put64(address: usize, value: f64): void {
  v128.store(address, f64x2.splat(value));
}

/** Fills the table. */
export function writeConstants(): void {
  v128.store(SIGN, i32x4.splat(0x80000000));
  put(ONE, 1);
  put(TWO, 2);
  put(HALF, 0.5);
  put(LOG2E, 1.4426950216293335);
  put(LN2_HIGH, 0.693359375);
  put(LN2_LOW, -2.121944400546905e-4);

  put(EXP_LEAST, -87.2);
  put(EXP_GREATEST, 89);
  put(EXP_ROUND, 12582912 + 126);
  put(EXP, 5.0000001201e-1);
  put(EXP + 16 * 1, 1.6666665459e-1);
  put(EXP + 16 * 2, 4.1665795894e-2);
  put(EXP + 16 * 3, 8.3334519073e-3);
  put(EXP + 16 * 4, 1.3981999507e-3);
  put(EXP + 16 * 5, 1.98756915e-4);

  put(LEAST_NORMAL, 1.1754943508222875e-38);
  put(TWO_TO_23, 8388608);
  put(TWENTY_THREE, 23);
  v128.store(SQRT_HALF, i32x4.splat(0x3f3504f3));
  put(INFINITE, f32.MAX_VALUE * 2);
  put(LOG, 0.3333333134651184);
  put(LOG + 16 * 1, -0.250008225440979);
  put(LOG + 16 * 2, 0.20001226663589478);
  put(LOG + 16 * 3, -0.16623356938362122);
  put(LOG + 16 * 4, 0.14201751351356506);
  put(LOG + 16 * 5, -0.13160184025764465);
  put(LOG + 16 * 6, 0.12761621177196503);
  put(LOG + 16 * 7, -0.07634547352790833);

  put(TANH_SMALL, 0.625);
  put(TANH, -0.3333328068256378);
  put(TANH + 16 * 1, 0.13331441581249237);
  put(TANH + 16 * 2, -0.05373971909284592);
  put(TANH + 16 * 3, 0.020639097318053246);
  put(TANH + 16 * 4, -0.005704996641725302);

  put(ERF_SMALL, 0.925);
  put(ERF_GREATEST, 3.9375);
  put(ERF, 0.12837916612625122);
  put(ERF + 16 * 1, -0.37612634897232056);
  put(ERF + 16 * 2, 0.11283694207668304);
  put(ERF + 16 * 3, -0.02685927040874958);
  put(ERF + 16 * 4, 0.005200634710490704);
  put(ERF + 16 * 5, -0.0008137439726851881);
  put(ERF + 16 * 6, 8.345231617568061e-5);
  put(ERF_TAIL, 0.00017468254372943193);
  put(ERF_TAIL + 16 * 1, -1.1295149326324463);
  put(ERF_TAIL + 16 * 2, -0.6333469152450562);
  put(ERF_TAIL + 16 * 3, -0.10828007012605667);
  put(ERF_TAIL + 16 * 4, 0.025119414553046227);
  put(ERF_TAIL + 16 * 5, -0.004171058069914579);
  put(ERF_TAIL + 16 * 6, 0.0004344616609159857);
  put(ERF_TAIL + 16 * 7, -2.1094967451062985e-5);

  put(ANGLE_GREATEST, 134217728);
  put64(TWO_OVER_PI, 0.6366197723675814);
  put64(ANGLE_ROUND, 6755399441055744);
  put64(QUARTER, -1.5707963109016418);
  put64(QUARTER + 16 * 1, -1.5893254712295857e-8);
  put64(QUARTER + 16 * 2, -6.123233995736766e-17);
  put64(SIN, -0.16666666641626077);
  put64(SIN + 16 * 1, 0.008333329385829029);
  put64(SIN + 16 * 2, -0.00019839334817119112);
  put64(SIN + 16 * 3, 2.7183113272065253e-6);
  put64(COS, 0.041666666622827996);
  put64(COS + 16 * 1, -0.0013888883753393356);
  put64(COS + 16 * 2, 2.479952000318743e-5);
  put64(COS + 16 * 3, -2.7210237272297024e-7);
  put64(ONE_64, 1);
  put64(HALF_64, 0.5);
  v128.store(SIGN_64, i64x2.splat(0x8000000000000000));
  v128.store(INTEGER_ONE_64, i64x2.splat(1));

  v128.store(PHILOX_MULTIPLIER, i64x2.splat(((<u64>0xcd9e8d57) << 32) | 0xd2511f53));
  v128.store(PHILOX_WEYL, i64x2.splat(((<u64>0xbb67ae85) << 32) | 0x9e3779b9));
  put(TWO_TO_MINUS_24, 5.9604644775390625e-8);
  put(TWO_PI, 6.2831854820251465);
  put(MINUS_TWO, -2);

  put(MINUS_ONE, -1);
  put(ROOT_HALF, 0.70710678118654752);
  put(MINUS_HALF, -0.5);
  put(NORMAL_PEAK, 0.39894228040143268);
  put(GELU_LINEAR, 1.5957691216057307);
  put(GELU_CUBIC, 0.071354816272600249);
  put(GELU_SLOPE, 0.21406444881780075);

  v128.store(INTEGERS, i32x4(0, 1, 2, 3));

  v128.store(HALF_MAGNITUDE, i32x4.splat(0x7fff));
  v128.store(HALF_NORMAL, i32x4.splat(0x400 << 13));
  v128.store(HALF_INFINITE, i32x4.splat(0x7c00 << 13));
  v128.store(HALF_BIAS, i32x4.splat(112 << 23));
  v128.store(HALF_LEAST_NORMAL, i32x4.splat(113 << 23));
  v128.store(HALF_UPPER, i16x8.splat(<i16>0x8fff));
  v128.store(HALF_UPPER_BIAS, i16x8.splat(112 << 7));
  v128.store(HALF_WRAP, i16x8.splat(0x7800));
  v128.store(HALF_WRAPPED, i16x8.splat(0x6fff));
}
