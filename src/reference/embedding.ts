// Embedding: y = the rows of a table that ids name. weight [V, D], ids [...], y [..., D].
// It is a matrix product with one-hot rows, done by looking up; so backward adds each dy row to the row it came from.

import { type Arr, array, row } from "./array.ts";

function checkIds(ids: Arr, V: number): void {
  for (const id of ids.data) {
    if (!Number.isInteger(id) || id < 0 || id >= V) {
      throw new RangeError(
        `The id ${id} is not in a table of ${V} rows; give integers from 0 to ${V - 1}.`,
      );
    }
  }
}

/** y [..., D]: row ids[i] of weight [V, D] for every id. */
export function embedding(weight: Arr, ids: Arr): Arr {
  const [V = 0, D = 0] = weight.shape;
  checkIds(ids, V);
  const y = array([...ids.shape, D]);
  for (let i = 0; i < ids.data.length; i++) row(y, i).set(row(weight, ids.data[i]!));
  return y;
}

/** dweight [V, D]: dweight[ids[i]] += dy[i]; a row used twice gets both gradients, an unused one 0. */
export function embeddingBackward(dy: Arr, weight: Arr, ids: Arr): Arr {
  const [V = 0, D = 0] = weight.shape;
  checkIds(ids, V);
  const dweight = array([V, D]);
  for (let i = 0; i < ids.data.length; i++) {
    const target = row(dweight, ids.data[i]!);
    for (let j = 0; j < D; j++) target[j]! += row(dy, i)[j]!;
  }
  return dweight;
}
