// Gradients of chosen values for the tests of optimizers: d(Σ p·g)/dp = g, exactly, as every product is by 1.

import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** Adds `values` to the gradient of a parameter. */
export function addGradient(parameter: Tensor, values: ArrayLike<number>): void {
  scope(() => {
    const g = tensor(Float32Array.from(values), { shape: parameter.shape });
    parameter.mul(g).sum().backward();
  });
}

/** The bits of float32 numbers, so that a comparison tells zeros and NaNs apart. */
export function bits(values: Float32Array | Int32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
