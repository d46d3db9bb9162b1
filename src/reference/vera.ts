// VeRA in one page: vector-based random matrix adaptation (D. Kopiczko et al., arXiv:2310.11454).
//
// LoRA trains two thin matrices for each layer. VeRA draws them once at random, freezes them and shares them among all
// layers; a layer trains what scales their rows (eq. 2):
//
//   h = W0 x + diag(b) B diag(d) A x        A [r, in], B [out, r] random and frozen; d [r], b [out] train
//
// b = 0 at first, so that nothing changes. Layers of other widths take the first columns of A and the first rows of B.
// That is LoRA with the factors diag(d) A and diag(b) B, and s = 1: its page does the rest.

import { type Arr, array } from "./array.ts";
import { type Lora, loraBackward, loraForward, loraMerge } from "./lora.ts";

/** A frozen weight with its vectors, and what all layers share. */
export interface Vera {
  /** W [out, in]. */
  readonly W: Arr;
  /** A [r, at least in]. */
  readonly A: Arr;
  /** B [at least out, r]. */
  readonly B: Arr;
  /** d [r]. */
  readonly d: Arr;
  /** b [out]. */
  readonly b: Arr;
}

/** The low-rank factors of one layer. */
export function veraFactors({ W, A, B, d, b }: Vera): Lora {
  const [outputs = 0, inputs = 0] = W.shape;
  const [r = 0, widest = 0] = A.shape;
  const ownA = array([r, inputs]);
  const ownB = array([outputs, r]);
  for (let j = 0; j < r; j++) {
    for (let i = 0; i < inputs; i++)
      ownA.data[j * inputs + i] = d.data[j]! * A.data[j * widest + i]!;
    for (let i = 0; i < outputs; i++) ownB.data[i * r + j] = b.data[i]! * B.data[i * r + j]!;
  }
  return { W, A: ownA, B: ownB, s: 1 };
}

/** y [M, out] for x [M, in]. */
export function veraForward(vera: Vera, x: Arr): Arr {
  return loraForward(veraFactors(vera), x);
}

/** The gradients of d, b and x, given that of y: each number of d and b scales a row of a factor. */
export function veraBackward(vera: Vera, x: Arr, dy: Arr): { dd: Arr; db: Arr; dx: Arr } {
  const { dA, dB, dx } = loraBackward(veraFactors(vera), x, dy);
  const [r = 0, widest = 0] = vera.A.shape;
  const [outputs = 0, inputs = 0] = vera.W.shape;
  const dd = array([r]);
  const db = array([outputs]);
  for (let j = 0; j < r; j++) {
    for (let i = 0; i < inputs; i++)
      dd.data[j]! += dA.data[j * inputs + i]! * vera.A.data[j * widest + i]!;
    for (let i = 0; i < outputs; i++) db.data[i]! += dB.data[i * r + j]! * vera.B.data[i * r + j]!;
  }
  return { dd, db, dx };
}

/** W + diag(b) B diag(d) A. */
export function veraMerge(vera: Vera): Arr {
  return loraMerge(veraFactors(vera));
}
