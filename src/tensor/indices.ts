// Checks of int32 tensors that name rows: token ids, targets, positions, indices of an axis.

import type { Engine } from "../core/engine.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { Field } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { expectTensor } from "./check.ts";
import type { Tensor } from "./tensor.ts";

/** What is asked of indices. */
export interface IndexRule {
  /** The function that was called. */
  readonly op: string;
  /** What one of the numbers is, e.g. "target". */
  readonly name: string;
  /** Valid are 0 ... limit − 1. */
  readonly limit: number;
  /** What the numbers count, e.g. "axis 0 of [2,3]", where the name alone does not say it. */
  readonly within?: string;
  /** A further valid number. */
  readonly except?: number;
}

/**
 * Throws unless all numbers of an int32 tensor are valid.
 * @throws ShapeError for another dtype, UsageError naming the first wrong index and its value.
 */
export function expectIndices(indices: Tensor, rule: IndexRule): void {
  expectTensor(rule.op, indices);
  if (indices.dtype !== "int32") {
    throw new ShapeError(
      `${rule.op} got ${rule.name} numbers of ${indices.dtype} [${indices.shape}]; expected int32.`,
    );
  }
  const { engine, address, shape } = indices;
  const check = (): void => expectInside(engine, address, shape, rule);
  recording()?.check(check);
  check();
}

function expectInside(
  engine: Engine,
  address: number,
  shape: readonly number[],
  { op, name, limit, within, except }: IndexRule,
): void {
  const excepts = except === undefined ? 0 : 1;
  const at = engine.wasm.firstOutside(address, limit, excepts, except ?? 0);
  if (at < 0) return;
  const data = (engine.i32[(address + Field.data) >>> 2] ?? 0) >>> 2;
  const found = engine.i32[data + at];
  const valid = limit === 0 ? "none is valid" : `expected 0 to ${limit - 1}`;
  const whose = within === undefined ? "" : ` for ${within}`;
  const others = except === undefined ? "" : ` (or ${except} to leave a row out)`;
  throw new UsageError(
    `${op} got the ${name} ${found} at [${coordinates(at, shape)}] of [${shape}]; ` +
      `${valid}${whose}${others}.`,
  );
}

function coordinates(index: number, shape: readonly number[]): number[] {
  const at: number[] = [];
  let rest = index;
  for (const size of shape.toReversed()) {
    at.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return at;
}
