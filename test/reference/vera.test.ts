import * as fc from "fast-check";
import { test } from "uvu";
import { array } from "../../src/reference/array.ts";
import { linear } from "../../src/reference/linear.ts";
import { type Vera, veraBackward, veraForward, veraMerge } from "../../src/reference/vera.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const cases = fc
  .record({
    M: size(5),
    inputs: size(9),
    outputs: size(9),
    r: size(4),
    wider: fc.nat(3),
    higher: fc.nat(3),
    seed,
  })
  .map(({ M, inputs, outputs, r, wider, higher, seed: start }) => {
    const draw = (shape: number[], i: number) => array(shape, fill(shape, start + i));
    const layer: Vera = {
      W: draw([outputs, inputs], 0),
      A: draw([r, inputs + wider], 1),
      B: draw([outputs + higher, r], 2),
      d: draw([r], 3),
      b: draw([outputs], 4),
    };
    return { layer, x: draw([M, inputs], 5), seed: start };
  });

/** y by the equation, number by number. */
function byEquation({ W, A, B, d, b }: Vera, x: ReturnType<typeof array>): Float64Array {
  const [outputs = 0, inputs = 0] = W.shape;
  const [r = 0, widest = 0] = A.shape;
  const [rows = 0] = x.shape;
  const y = new Float64Array(rows * outputs);
  y.forEach((_, at) => {
    const [m, o] = [Math.floor(at / outputs), at % outputs];
    for (let i = 0; i < inputs; i++) {
      let factor = W.data[o * inputs + i]!;
      for (let j = 0; j < r; j++) {
        factor += b.data[o]! * B.data[o * r + j]! * d.data[j]! * A.data[j * widest + i]!;
      }
      y[at]! += factor * x.data[m * inputs + i]!;
    }
  });
  return y;
}

test("b = 0 changes nothing", () => {
  fc.assert(
    fc.property(cases, ({ layer, x }) => {
      expectSame(
        veraForward({ ...layer, b: array(layer.b.shape) }, x).data,
        linear(x, layer.W).data,
      );
    }),
  );
});

test("forward and merge are the equation, within their roundings", () => {
  fc.assert(
    fc.property(cases, ({ layer, x }) => {
      const { W, A, B, d, b } = layer;
      const abs = (t: typeof W) => array(t.shape, t.data.map(Math.abs));
      // A product of five factors in sums over r and in: at most in + r + 6 roundings on either side.
      const n = (x.shape[1] ?? 0) + (d.shape[0] ?? 0) + 6;
      const size = byEquation({ W: abs(W), A: abs(A), B: abs(B), d: abs(d), b: abs(b) }, abs(x));
      const bound = size.map((value) => 2 * n * 2 ** -53 * 1.001 * value);
      expectClose(veraForward(layer, x).data, byEquation(layer, x), bound);
      expectClose(linear(x, veraMerge(layer)).data, byEquation(layer, x), bound);
    }),
  );
});

test("the gradients are the slopes of the forward", () => {
  fc.assert(
    fc.property(cases, ({ layer, x, seed: start }) => {
      expectGradients({
        inputs: { x, d: layer.d, b: layer.b },
        forward: ({ x, d, b }) => veraForward({ ...layer, d, b }, x),
        backward: (dy, { x, d, b }) => {
          const { dd, db, dx } = veraBackward({ ...layer, d, b }, x, dy);
          return { d: dd, b: db, x: dx };
        },
        seed: start,
        roundings: (x.shape[1] ?? 0) + (layer.d.shape[0] ?? 0) + 6,
      });
    }),
    { numRuns: 40 },
  );
});

test.run();
