// The linear layer's function, with LoRA's low-rank branch as part of it.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf, wrongKind } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { expectTensor } from "./check.ts";
import { nextDropout } from "./dropout.ts";
import type { Tensor } from "./tensor.ts";

/** The branch `scale · drop(x)·Aᵀ·Bᵀ`. */
export interface LowRankBranch {
  /** A [r, K]. */
  readonly a: Tensor;
  /** B [N, r]. */
  readonly b: Tensor;
  /** s = alpha / r. */
  readonly scale: number;
  /** Probability with which an element of x is left out, for A alone; default 0. */
  readonly dropout?: number;
}

const BRANCH_OPTIONS: OptionNames<LowRankBranch> = {
  a: true,
  b: true,
  scale: true,
  dropout: true,
};

function expectMatrix(what: string, t: Tensor, rows: number | null, columns: number): void {
  expectTensor("linear", t);
  const fits = t.rank === 2 && t.shape[1] === columns && (rows === null || t.shape[0] === rows);
  if (!fits || t.dtype !== "float32") {
    throw new ShapeError(
      `linear got ${what} of ${t.dtype} [${t.shape}]; expected float32 [${rows ?? "r"}, ${columns}].`,
    );
  }
}

// Throws for a branch that does not fit a weight [n, k]; its dropout.
export function expectBranch(branch: LowRankBranch, n: number, k: number): number {
  expectOptions(branch, BRANCH_OPTIONS, "a low-rank branch");
  const { a, b, scale, dropout = 0 } = branch;
  if (typeof scale !== "number") throw wrongKind("scale", scale, "a number");
  if (!(typeof dropout === "number" && dropout >= 0 && dropout < 1)) {
    throw new UsageError(`dropout is ${kindOf(dropout)}; it must be at least 0 and below 1.`);
  }
  expectMatrix("a LoRA factor A", a, null, k);
  expectMatrix("a LoRA factor B", b, n, a.shape[0] ?? 0);
  return dropout;
}

/**
 * y = x·Wᵀ + bias + s·drop(x)·Aᵀ·Bᵀ (Hu et al. 2021, arXiv:2106.09685, eq. 3).
 * @param x [..., K]
 * @param weight W [N, K]; a frozen one may lie as packed panels
 * @param bias [N], or null
 * @returns [..., N], one record on the tape
 * @throws ShapeError naming the shapes that do not fit.
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  branch: LowRankBranch | null = null,
): Tensor {
  expectTensor("linear", x);
  expectTensor("linear", weight);
  const k = x.shape.at(-1) ?? 0;
  const n = weight.shape[0] ?? 0;
  const floats = x.dtype === "float32" && weight.dtype === "float32";
  if (!floats || x.rank === 0 || weight.rank !== 2 || weight.shape[1] !== k) {
    throw new ShapeError(
      `linear cannot multiply x ${x.dtype} [${x.shape}] by a weight of ${weight.dtype} [${weight.shape}]: expected x [..., K] and weight [N, K], both float32.`,
    );
  }
  const sources = [x, weight];
  if (bias !== null) {
    expectTensor("linear", bias);
    if (bias.rank !== 1 || bias.shape[0] !== n || bias.dtype !== "float32") {
      throw new ShapeError(
        `linear got a bias of ${bias.dtype} [${bias.shape}] for a weight of [${weight.shape}]; expected float32 [${n}].`,
      );
    }
    sources.push(bias);
  }
  let dropout = 0;
  if (branch !== null) {
    dropout = expectBranch(branch, n, k);
    sources.push(branch.a, branch.b);
  }
  const ordinal = dropout > 0 ? nextDropout(x.engine) : 0;
  return apply(Op.Linear, sources, [...x.shape.slice(0, -1), n], {
    hasBias: Number(bias !== null),
    hasBranch: Number(branch !== null),
    ordinal,
    scale: branch?.scale ?? 1,
    dropout,
  });
}
