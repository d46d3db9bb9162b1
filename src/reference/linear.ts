// A linear layer with an optional low-rank branch (LoRA, arXiv:2106.09685 eq. 3):
//   y = x W^T + b + s (drop(x) A^T) B^T
// x [..., K], W [N, K], b [N], A [r, K], B [N, r], y [..., N]; all leading axes of x together are the rows, M of them.
// drop(x) = mask o x / (1 - p) acts on the input of the branch alone. Written with t = drop(x) A^T [M, r], the
// bottleneck, backward is
//   dt = s dY B          dB = s dY^T t         dA = dt^T drop(x)
//   dX = dY W + drop'(dt A)                    dW = dY^T X          db = sum of the rows of dY
// where drop' is the same mask and factor again. If W is frozen, dW is simply not needed.

import { type Arr, array, dot, expectShape, row, rowCount } from "./array.ts";
import { dropout, dropoutBackward } from "./dropout.ts";

/** The low-rank branch s (drop(x) A^T) B^T of a linear layer. */
export interface LowRank {
  /** A [r, K]. */
  readonly A: Arr;
  /** B [N, r]. */
  readonly B: Arr;
  /** s, in LoRA alpha / r. */
  readonly scale: number;
  /** 1 where an element of x is kept and 0 where it is dropped, in the shape of x; nothing is dropped without it. */
  readonly mask?: Arr | undefined;
  /** The probability of dropping, 0 if left out. */
  readonly p?: number | undefined;
}

/** What a linear layer may have beside its weight. */
export interface LinearOptions {
  /** b [N]. */
  readonly bias?: Arr | undefined;
  readonly lowRank?: LowRank | undefined;
}

/** The gradients of `linear`; those of a part exist if the part does. */
export interface LinearGradients {
  readonly dx: Arr;
  readonly dW: Arr;
  readonly db?: Arr;
  readonly dA?: Arr;
  readonly dB?: Arr;
}

function dropped(x: Arr, { mask, p = 0 }: LowRank): Arr {
  return mask === undefined ? x : dropout(x, mask, p);
}

// X W^T: every row of x against every row of W.
function rowsTimesRows(x: Arr, W: Arr): Arr {
  const y = array([...x.shape.slice(0, -1), W.shape[0]!]);
  for (let i = 0; i < rowCount(x); i++) {
    for (let j = 0; j < W.shape[0]!; j++) row(y, i)[j] = dot(row(x, i), row(W, j));
  }
  return y;
}

// The two gradients of Y = X W^T:  dX_i = sum_j dY_ij W_j  and  dW_j = sum_i dY_ij X_i.
function rowsTimesRowsBackward(dy: Arr, x: Arr, W: Arr): { dx: Arr; dW: Arr } {
  const dx = array(x.shape);
  const dW = array(W.shape);
  for (let i = 0; i < rowCount(x); i++) {
    for (let j = 0; j < W.shape[0]!; j++) {
      const g = row(dy, i)[j]!;
      for (let k = 0; k < W.shape[1]!; k++) {
        row(dx, i)[k]! += g * row(W, j)[k]!;
        row(dW, j)[k]! += g * row(x, i)[k]!;
      }
    }
  }
  return { dx, dW };
}

function scaled(x: Arr, factor: number): Arr {
  return array(
    x.shape,
    x.data.map((value) => factor * value),
  );
}

/** y [..., N] = x W^T + b + s (drop(x) A^T) B^T. */
export function linear(x: Arr, W: Arr, { bias, lowRank }: LinearOptions = {}): Arr {
  const [N = 0, K = 0] = W.shape;
  expectShape("x", x, [...x.shape.slice(0, -1), K]);
  const y = rowsTimesRows(x, W);
  if (bias !== undefined) {
    expectShape("bias", bias, [N]);
    for (let i = 0; i < rowCount(y); i++) {
      for (let j = 0; j < N; j++) row(y, i)[j]! += bias.data[j]!;
    }
  }
  if (lowRank !== undefined) {
    const { A, B, scale } = lowRank;
    const r = A.shape[0]!;
    expectShape("A", A, [r, K]);
    expectShape("B", B, [N, r]);
    const t = rowsTimesRows(dropped(x, lowRank), A);
    const branch = rowsTimesRows(t, B);
    for (let i = 0; i < y.data.length; i++) y.data[i]! += scale * branch.data[i]!;
  }
  return y;
}

/** All gradients of `linear`; `dW` too, though a frozen weight has no use for it. */
export function linearBackward(
  dy: Arr,
  x: Arr,
  W: Arr,
  { bias, lowRank }: LinearOptions = {},
): LinearGradients {
  const [N = 0] = W.shape;
  expectShape("dy", dy, [...x.shape.slice(0, -1), N]);
  const { dx, dW } = rowsTimesRowsBackward(dy, x, W);

  const db = array([N]);
  for (let i = 0; i < rowCount(dy); i++) {
    for (let j = 0; j < N; j++) db.data[j]! += row(dy, i)[j]!;
  }
  const base = bias === undefined ? { dx, dW } : { dx, dW, db };
  if (lowRank === undefined) return base;

  const { A, B, scale, mask, p = 0 } = lowRank;
  const kept = dropped(x, lowRank);
  const t = rowsTimesRows(kept, A);
  const { dx: dt, dW: dB } = rowsTimesRowsBackward(scaled(dy, scale), t, B);
  const { dx: dkept, dW: dA } = rowsTimesRowsBackward(dt, kept, A);
  const dbranch = mask === undefined ? dkept : dropoutBackward(dkept, mask, p);
  for (let i = 0; i < dx.data.length; i++) dx.data[i]! += dbranch.data[i]!;
  return { ...base, dA, dB };
}
