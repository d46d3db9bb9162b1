// The matrix product C = A B over the last two axes: A [..., M, K], B [..., K, N], C [..., M, N].
//   C_ij = sum_k A_ik B_kj
// The leading axes are a batch and broadcast: one matrix can serve a whole batch of the other side.
// Backward, from dC_ij multiplying each term of that sum:  dA = dC B^T,  dB = A^T dC.

import { type Arr, array, broadcastOffsets, broadcastShape } from "./array.ts";
import type { PairGradients } from "./elementwise.ts";

// The sizes, and for every product of the batch the index of its matrix of A and of B.
function plan(a: Arr, b: Arr) {
  const [M, K] = a.shape.slice(-2);
  const [K2, N] = b.shape.slice(-2);
  if (M === undefined || K === undefined || N === undefined || K !== K2) {
    throw new RangeError(
      `[${a.shape}] times [${b.shape}] is not a matrix product; the last axis of the first must be as long as the last but one of the second.`,
    );
  }
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batch = broadcastShape(batchA, batchB);
  return {
    M,
    K,
    N,
    batch,
    ofA: broadcastOffsets(batchA, batch),
    ofB: broadcastOffsets(batchB, batch),
  };
}

/** C [..., M, N] = A [..., M, K] times B [..., K, N]. */
export function matmul(a: Arr, b: Arr): Arr {
  const { M, K, N, batch, ofA, ofB } = plan(a, b);
  const c = array([...batch, M, N]);
  for (let n = 0; n < ofA.length; n++) {
    const a0 = ofA[n]! * M * K;
    const b0 = ofB[n]! * K * N;
    const c0 = n * M * N;
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a.data[a0 + i * K + k]! * b.data[b0 + k * N + j]!;
        c.data[c0 + i * N + j] = sum;
      }
    }
  }
  return c;
}

/** da = dC B^T and db = A^T dC; a matrix that served several products collects the gradients of all. */
export function matmulBackward(dc: Arr, a: Arr, b: Arr): PairGradients {
  const { M, K, N, ofA, ofB } = plan(a, b);
  const da = array(a.shape);
  const db = array(b.shape);
  for (let n = 0; n < ofA.length; n++) {
    const a0 = ofA[n]! * M * K;
    const b0 = ofB[n]! * K * N;
    const c0 = n * M * N;
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        const g = dc.data[c0 + i * N + j]!;
        for (let k = 0; k < K; k++) {
          da.data[a0 + i * K + k]! += g * b.data[b0 + k * N + j]!;
          db.data[b0 + k * N + j]! += a.data[a0 + i * K + k]! * g;
        }
      }
    }
  }
  return { da, db };
}
