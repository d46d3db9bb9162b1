// The element types of safetensors files, in the order of the reference implementation: its writer stores
// tensors by descending place in this list (safetensors, `tensor.rs`, enum Dtype). F4 and F6 pack several
// elements into a byte.

import { kindOf } from "../core/kind.ts";

const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** The name of an element type in a safetensors file. */
export type Dtype = keyof typeof BITS;

/** Every known element type, in the writer's order. */
export const dtypes: readonly Dtype[] = Object.keys(BITS) as Dtype[];

/** Whether `name` is a known element type. */
export function isDtype(name: string): name is Dtype {
  return typeof name === "string" && Object.hasOwn(BITS, name);
}

/** Bits of one element. */
export function dtypeBits(dtype: Dtype): number {
  return BITS[dtype];
}

/**
 * The bytes that a tensor takes, or the reason why there is no such number: a dimension that is not a
 * whole number, a size beyond 2^53 - 1 bits, or packed elements that do not fill their last byte.
 */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | string {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return `${kindOf(size)} is no dimension`;
    count *= size;
    if (count > Number.MAX_SAFE_INTEGER) return "the size overflows";
  }
  const bits = BITS[dtype] * count;
  if (bits > Number.MAX_SAFE_INTEGER) return "the size overflows";
  return bits % 8 === 0 ? bits / 8 : `${bits} bits do not fill whole bytes (misaligned)`;
}
