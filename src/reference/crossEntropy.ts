// Cross entropy of next-token prediction: logits [N, V], one target id in [0, V) a row.
//   loss = sum over counted rows of (ln sum_j e^(x_j) - x_target), in nats; "mean" divides by the number of counted rows
// A row whose target is `ignoreIndex` (-100, as in PyTorch) counts nowhere: prompts and padding are masked that way.
// With no counted row the loss and all gradients are 0, where PyTorch's mean is 0/0 = NaN: a batch of
// masked tokens alone has nothing to teach, and must not destroy the weights.

import { type Arr, array, expectShape, row } from "./array.ts";
import { logSumExp, softmax } from "./softmax.ts";

/** How `crossEntropy` counts and averages. */
export interface CrossEntropyOptions {
  /** The target that marks a row to be left out (default -100). */
  readonly ignoreIndex?: number;
  /** "mean" over the counted rows (default), or their "sum". */
  readonly reduction?: "mean" | "sum";
}

// The rows that count, and what each of them is multiplied with.
function counted(
  logits: Arr,
  targets: Arr,
  options: CrossEntropyOptions,
): { rows: number[]; weight: number } {
  const { ignoreIndex = -100, reduction = "mean" } = options;
  const [N = 0, V = 0] = logits.shape;
  expectShape("logits", logits, [N, V]);
  expectShape("targets", targets, [N]);
  const rows: number[] = [];
  for (let i = 0; i < N; i++) {
    const target = targets.data[i]!;
    if (target === ignoreIndex) continue;
    if (!Number.isInteger(target) || target < 0 || target >= V) {
      throw new RangeError(
        `Target ${target} of row ${i} is no class; give an integer from 0 to ${V - 1}, or ${ignoreIndex} to ignore the row.`,
      );
    }
    rows.push(i);
  }
  return { rows, weight: reduction === "mean" && rows.length > 0 ? 1 / rows.length : 1 };
}

/** loss []: the mean (or sum) of -ln p(target) over the counted rows, in nats; 0 if no row counts. */
export function crossEntropy(logits: Arr, targets: Arr, options: CrossEntropyOptions = {}): Arr {
  const { rows, weight } = counted(logits, targets, options);
  let total = 0;
  for (const i of rows) total += logSumExp(row(logits, i)) - row(logits, i)[targets.data[i]!]!;
  return array([], [weight * total]);
}

/** dlogits [N, V] = dloss weight (softmax(x) - one-hot(target)) in counted rows, 0 in ignored ones. */
export function crossEntropyBackward(
  dloss: Arr,
  logits: Arr,
  targets: Arr,
  options: CrossEntropyOptions = {},
): Arr {
  const { rows, weight } = counted(logits, targets, options);
  const p = softmax(logits);
  const dlogits = array(logits.shape);
  for (const i of rows) {
    const di = row(dlogits, i);
    di.set(row(p, i));
    di[targets.data[i]!]! -= 1;
    for (let j = 0; j < di.length; j++) di[j]! *= dloss.data[0]! * weight;
  }
  return dlogits;
}
