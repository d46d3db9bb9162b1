// Checks a backward against its forward by central differences, in float64.
//
// With a random dy, L(x) = sum_i dy_i y_i(x) is a function whose gradient the backward claims to be dx. Its slope
// along one element of x is D(h) = sum_i dy_i (y_i(x + h) - y_i(x - h)) / 2h. How far may D(h) be from the truth?
//   truncation   L''' h^2 / 6 + O(h^4), which is a third of |D(2h) - D(h)|; that whole difference is allowed
//   rounding     y_i is off by at most roundings * 2^-53 * magnitude, hence D(h) by the sum of |dy_i| over the
//                outputs that change, times that, divided by h
// With h = 1e-5 max(1, |x|) both are about 1e-10 for numbers around 1.

import { type Arr, array } from "../../src/reference/array.ts";
import { fill, uniform } from "./arbitraries.ts";
import { expectClose } from "./compare.ts";

const STEP = 1e-5;
// At most so many elements of each input are tried: differences cost two forwards each.
const PROBES = 12;

/** An op, its arguments, and how precise its forward is. */
export interface GradientCase<Name extends string> {
  readonly inputs: Readonly<Record<Name, Arr>>;
  readonly forward: (inputs: Readonly<Record<Name, Arr>>) => Arr;
  readonly backward: (
    dy: Arr,
    inputs: Readonly<Record<Name, Arr>>,
  ) => Readonly<Record<Name, Arr | undefined>>;
  readonly seed: number;
  /** Roundings that an element of y has gone through: the length of its sums, and a few. */
  readonly roundings: number;
  /** The largest intermediate value that is rounded (default: the largest |y|, at least 1). */
  readonly magnitude?: number;
}

// sum_i dy_i (y_i(x + h) - y_i(x - h)) / 2h, and sum_i |dy_i| / h over the outputs that changed.
function difference(dy: Arr, at: (x: number) => Arr, x: number, h: number) {
  const above = at(x + h);
  const below = at(x - h);
  const width = x + h - (x - h);
  let slope = 0;
  let weight = 0;
  for (let i = 0; i < dy.data.length; i++) {
    const change = above.data[i]! - below.data[i]!;
    slope += (dy.data[i]! * change) / width;
    if (change !== 0) weight += Math.abs(dy.data[i]!) / h;
  }
  return { slope, weight };
}

/** Throws if a gradient has the wrong shape, or an element of it is not the slope that differences show. */
export function expectGradients<Name extends string>(op: GradientCase<Name>): void {
  const { inputs, forward, backward, seed, roundings } = op;
  const y = forward(inputs);
  const dy = array(y.shape, fill(y.shape, seed ^ 0x5bd1e995));
  const gradients = backward(dy, inputs);
  const magnitude =
    op.magnitude ?? y.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  const next = uniform(seed);

  for (const name of Object.keys(inputs) as Name[]) {
    const input = inputs[name];
    const gradient = gradients[name];
    if (gradient === undefined || `${gradient.shape}` !== `${input.shape}`) {
      throw new Error(`d${name} has the shape [${gradient?.shape}], ${name} has [${input.shape}]`);
    }
    const claimed: number[] = [];
    const measured: number[] = [];
    const allowed: number[] = [];
    for (let probe = 0; probe < Math.min(PROBES, input.data.length); probe++) {
      const i = Math.floor(next() * input.data.length);
      const x = input.data[i]!;
      const at = (value: number) =>
        forward({ ...inputs, [name]: array(input.shape, input.data.with(i, value)) });
      const h = STEP * Math.max(1, Math.abs(x));
      const near = difference(dy, at, x, h);
      const far = difference(dy, at, x, 2 * h);
      claimed.push(gradient.data[i]!);
      measured.push(near.slope);
      allowed.push(
        Math.abs(far.slope - near.slope) + roundings * 2 ** -53 * magnitude * near.weight,
      );
    }
    expectClose(claimed, measured, allowed, { what: `probes of d${name}` });
  }
}
