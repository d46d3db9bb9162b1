// Rotary position embedding (arXiv:2104.09864, eq. 34): pairs of a head's numbers are turned like the hands of
// clocks, pair i by the angle position * theta^(-2i/D), i = 0 .. D/2 - 1:
//   (u, v)  ->  (u cos a - v sin a,  u sin a + v cos a)
// The inner product of a rotated query and a rotated key depends on the difference of their positions only.
// Two conventions for which numbers are a pair; they differ by a permutation of the head's D numbers:
//   "half"         (i, i + D/2)     Hugging Face checkpoints of Llama and its relatives
//   "interleaved"  (2i, 2i + 1)     the paper, Meta's original Llama
// x [..., T, H, D] (usually [B, T, H, D]); positions [T] or [B, T], broadcast to the axes of x before H.

import { type Arr, array, broadcastOffsets, row, rowCount } from "./array.ts";

/** The kind of rotation. */
export interface RopeOptions {
  /** The base of the angles (default 10000). */
  readonly theta?: number;
  /** Which numbers are a pair (default "half"). */
  readonly convention?: "half" | "interleaved";
}

function rotate(x: Arr, positions: Arr, direction: 1 | -1, options: RopeOptions): Arr {
  const { theta = 10000, convention = "half" } = options;
  const [H = 0, D = 0] = x.shape.slice(-2);
  if (x.shape.length < 3 || D % 2 !== 0) {
    throw new RangeError(
      `x has the shape [${x.shape}], but [..., T, H, D] with an even D is needed.`,
    );
  }
  const positionOf = broadcastOffsets(positions.shape, x.shape.slice(0, -2));
  const y = array(x.shape);
  for (let n = 0; n < rowCount(x); n++) {
    const position = positions.data[positionOf[Math.floor(n / H)]!]!;
    const from = row(x, n);
    const to = row(y, n);
    for (let i = 0; i < D / 2; i++) {
      const [first, second] = convention === "half" ? [i, i + D / 2] : [2 * i, 2 * i + 1];
      const angle = direction * position * theta ** ((-2 * i) / D);
      const u = from[first]!;
      const v = from[second]!;
      to[first] = u * Math.cos(angle) - v * Math.sin(angle);
      to[second] = u * Math.sin(angle) + v * Math.cos(angle);
    }
  }
  return y;
}

/** y [..., T, H, D]: every pair turned by its angle. */
export function rope(x: Arr, positions: Arr, options: RopeOptions = {}): Arr {
  return rotate(x, positions, 1, options);
}

/** dx = dy turned back: the transpose of a rotation is the rotation by the opposite angle. */
export function ropeBackward(dy: Arr, positions: Arr, options: RopeOptions = {}): Arr {
  return rotate(dy, positions, -1, options);
}
