// Vectors by number.

import { ShapeError } from "../core/error.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { expectTensor } from "./check.ts";
import { expectIndices } from "./indices.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Rows of a table: y[...] = table[ids[...]].
 * @param ids int32 [...]
 * @param table [V, D]; a frozen one may lie as packed panels
 * @returns [..., D]
 * @throws ShapeError for operands of another kind; UsageError for an id outside [0, V), with its index and value.
 */
export function embedding(ids: Tensor, table: Tensor): Tensor {
  expectTensor("embedding", ids);
  expectTensor("embedding", table);
  const [rows, width] = table.shape;
  if (table.rank !== 2 || table.dtype !== "float32" || rows === undefined || width === undefined) {
    throw new ShapeError(
      `embedding got ids [${ids.shape}] and a table of ${table.dtype} [${table.shape}]; expected float32 [V, D].`,
    );
  }
  expectIndices(ids, { op: "embedding", name: "id", limit: rows });
  return apply(Op.Embedding, [ids, table], [...ids.shape, width], {});
}
