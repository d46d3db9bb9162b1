// Rotary positions.

import { current } from "../core/engine.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { expectFloat, expectTensor } from "./check.ts";
import { expectIndices } from "./indices.ts";
import { leaf } from "./record.ts";
import type { Tensor } from "./tensor.ts";

/** Which numbers of a head are a pair: (i, i + D/2), as in Hugging Face's Llama, or (2i, 2i + 1), as in the paper. */
export type RopeStyle = "half" | "interleaved";

/**
 * cos and sin of position·theta^(−2i/dim), float32 [maxPositions, dim/2, 2]: a persistent tensor, to be disposed of.
 * The angles are computed in float64 in the engine, so the table has the same bits everywhere.
 * @throws UsageError for an odd `dim`, or a `theta` that is not positive.
 */
export function ropeTable(maxPositions: number, dim: number, theta: number): Tensor {
  if (!Number.isInteger(dim) || dim < 0 || dim % 2 !== 0) {
    throw new UsageError(
      `A rotary table was asked for heads of ${kindOf(dim)} numbers; it must be even.`,
    );
  }
  if (!(typeof theta === "number" && theta > 0 && theta < Number.POSITIVE_INFINITY)) {
    throw new UsageError(
      `The rotary base theta is ${kindOf(theta)}; it must be positive and finite.`,
    );
  }
  const { wasm } = current();
  const half = dim / 2;
  return leaf(
    [maxPositions, half, 2],
    (data) => wasm.fillRopeTable(data.byteOffset, maxPositions, half, theta),
    { persistent: true },
  );
}

/**
 * Throws unless the table has all positions.
 * @param positions int32 [B, T]
 * @throws ShapeError for another dtype, UsageError naming the first position that the table does not have.
 */
export function expectPositions(positions: Tensor, table: Tensor): void {
  expectIndices(positions, { op: "rope", name: "position", limit: table.shape[0] ?? 0 });
}

/**
 * Turns pair i of every head by the angle position·theta^(−2i/D) (Su et al. 2021, arXiv:2104.09864, eq. 34).
 * @param x [B, T, H, D]
 * @param table of `ropeTable(maxPositions, D, theta)`; no gradient flows to it
 * @param positions int32 [B, T]
 * @throws ShapeError naming all shapes; UsageError for a position that the table does not have.
 */
export function rope(x: Tensor, table: Tensor, positions: Tensor, style: RopeStyle): Tensor {
  expectFit(x, table, positions, style);
  expectPositions(positions, table);
  return turn(x, table, positions, style);
}

/**
 * `rope` for positions that `expectPositions` has seen: a model asks once, and then turns the queries and keys of
 * every layer. A position that the table does not have gives NaN.
 * @throws ShapeError naming all shapes.
 */
export function ropeKnown(x: Tensor, table: Tensor, positions: Tensor, style: RopeStyle): Tensor {
  expectFit(x, table, positions, style);
  return turn(x, table, positions, style);
}

function turn(x: Tensor, table: Tensor, positions: Tensor, style: RopeStyle): Tensor {
  return apply(Op.Rope, [x, table, positions], x.shape, {
    interleaved: Number(style === "interleaved"),
  });
}

function expectFit(x: Tensor, table: Tensor, positions: Tensor, style: RopeStyle): void {
  expectFloat("rope", x);
  expectFloat("rope", table);
  expectTensor("rope", positions);
  const [b, t, , d = 0] = x.shape;
  const [, half, two] = table.shape;
  const fits =
    x.rank === 4 &&
    table.rank === 3 &&
    half !== undefined &&
    2 * half === d &&
    two === 2 &&
    positions.rank === 2 &&
    positions.shape[0] === b &&
    positions.shape[1] === t;
  if (!fits) {
    throw new ShapeError(
      `rope got x [${x.shape}], a table of [${table.shape}] and positions of [${positions.shape}]; ` +
        "expected [B, T, H, D], [maxPositions, D/2, 2] and [B, T].",
    );
  }
  if (style !== "half" && style !== "interleaved") {
    throw new UsageError(
      `The style of rope is ${kindOf(style)}; it must be "half" or "interleaved".`,
    );
  }
  if (table.requiresGrad) {
    throw new UsageError("The table of rope is a constant; it cannot require a gradient.");
  }
}
