import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array } from "../../src/reference/array.ts";
import { linear, linearBackward } from "../../src/reference/linear.ts";
import {
  type Lora,
  loraBackward,
  loraDelta,
  loraForward,
  loraInit,
  loraMerge,
} from "../../src/reference/lora.ts";
import { matmul } from "../../src/reference/matmul.ts";
import { sgd } from "../../src/reference/optim.ts";
import { transpose } from "../../src/reference/shape.ts";
import { fill, seed, size, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const U = 2 ** -53;

const sizes = fc.record({ M: size(5), inputs: size(9), outputs: size(9), r: size(4) });
type Sizes = { M: number; inputs: number; outputs: number; r: number };

// x, dy, and an adapter that has been trained: both factors are random.
function draw({ M, inputs, outputs, r }: Sizes, seed: number) {
  const W = array([outputs, inputs], fill([outputs, inputs], seed));
  const A = array([r, inputs], fill([r, inputs], seed + 1));
  const B = array([outputs, r], fill([outputs, r], seed + 2));
  return {
    lora: { W, A, B, s: 16 / r },
    x: array([M, inputs], fill([M, inputs], seed + 3)),
    dy: array([M, outputs], fill([M, outputs], seed + 4)),
  };
}

function magnitudes(x: Arr): Arr {
  return array(x.shape, x.data.map(Math.abs));
}

test("merged and unmerged agree within the bound of their roundings", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora, x } = draw(sizes, seed);
      const { W, A, B, s } = lora;
      const unmerged = loraForward(lora, x);
      const merged = matmul(x, transpose(loraMerge(lora)));
      // 2 gamma (|x| |W|^T + s |x| |A|^T |B|^T), gamma = n U / (1 - n U), n = in + r + 4: each way makes at most n
      // roundings in a sum of these products.
      const n = sizes.inputs + sizes.r + 4;
      const gamma = (n * U) / (1 - n * U);
      const absX = magnitudes(x);
      const base = matmul(absX, transpose(magnitudes(W)));
      const branch = matmul(matmul(absX, transpose(magnitudes(A))), transpose(magnitudes(B)));
      const bound = base.data.map((value, i) => 2 * gamma * (value + s * branch.data[i]!));
      expectClose(merged.data, unmerged.data, bound, merged);
    }),
  );
});

test("a fresh adapter changes no bit of the base, and neither does any adapter whose B is set to zero", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora, x } = draw(sizes, seed);
      const base = linear(x, lora.W);
      const fresh = loraInit(lora.W, { r: sizes.r, alpha: 16, random: uniform(seed) });
      expectSame(loraForward(fresh, x).data, base.data);
      expectSame(loraMerge(fresh).data, lora.W.data);
      const emptied = { ...lora, B: array(lora.B.shape) };
      expectSame(loraForward(emptied, x).data, base.data);
    }),
  );
});

test("at the start the gradient of A is zero and that of B is not", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora, x, dy } = draw(sizes, seed);
      const fresh = loraInit(lora.W, { r: sizes.r, alpha: 16, random: uniform(seed) });
      const { dA, dB } = loraBackward(fresh, x, dy);
      expectSame(dA.data, new Float64Array(dA.data.length));
      assert.ok(dB.data.some((value) => value !== 0));
    }),
  );
});

test("a fresh A lies within 1/sqrt(in), and fills that range", () => {
  const W = array([3, 400]);
  const { A, B, s } = loraInit(W, { r: 5, alpha: 10, random: uniform(1) });
  assert.equal([A.shape, B.shape, s], [[5, 400], [3, 5], 2]);
  const largest = A.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  assert.ok(largest <= 1 / 20);
  // 2000 uniform numbers all within 0.99 of the range: once in 0.99^-2000, about 5e8, seeds.
  assert.ok(largest > 0.99 / 20);
});

test("the gradients of LoRA are its slopes", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora, x } = draw(sizes, seed);
      const { W, A, B, s } = lora;
      expectGradients({
        inputs: { A, B, x },
        forward: ({ A, B, x }) => loraForward({ W, A, B, s }, x),
        backward: (dy, { A, B, x }) => {
          const { dA, dB, dx } = loraBackward({ W, A, B, s }, x, dy);
          return { A: dA, B: dB, x: dx };
        },
        seed,
        roundings: sizes.inputs + sizes.r + 4,
        // in products of up to 4 in the base, in * r of up to 8 s in the branch.
        magnitude: 4 * sizes.inputs + 8 * s * sizes.inputs * sizes.r,
      });
    }),
  );
});

test("the page's LoRA is the low-rank branch of the linear layer", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora, x, dy } = draw(sizes, seed);
      const { W, A, B, s } = lora;
      const options = { lowRank: { A, B, scale: s } };
      expectSame(loraForward(lora, x).data, linear(x, W, options).data);
      const page = loraBackward(lora, x, dy);
      const layer = linearBackward(dy, x, W, options);
      // The layer scales dy first, the page scales afterwards: sums of at most M, in, out and r terms on the way,
      // of products of four numbers up to 2 and the scale.
      const { M, inputs, outputs, r } = sizes;
      const n = M + inputs + outputs + r + 4;
      const bound = 2 * n * U * 16 * s * M * inputs * outputs * r;
      expectClose(page.dA.data, layer.dA!.data, bound);
      expectClose(page.dB.data, layer.dB!.data, bound);
      expectClose(page.dx.data, layer.dx.data, bound + 2 * n * U * 4 * outputs);
    }),
  );
});

test("doubling r at a fixed alpha halves the scale", () => {
  const W = array([4, 4]);
  const scale = (r: number) => loraInit(W, { r, alpha: 24, random: uniform(1) }).s;
  assert.is(scale(2), 12);
  assert.is(scale(4), scale(2) / 2);
});

test("the delta of rank 1 has vanishing 2 by 2 minors", () => {
  fc.assert(
    fc.property(sizes, seed, (sizes, seed) => {
      const { lora } = draw({ ...sizes, r: 1 }, seed);
      const D = loraDelta(lora);
      const at = (i: number, j: number) => D.data[i * sizes.inputs + j]!;
      for (let i = 1; i < sizes.outputs; i++) {
        for (let j = 1; j < sizes.inputs; j++) {
          const [ad, bc] = [at(0, 0) * at(i, j), at(0, j) * at(i, 0)];
          // Each product has four factors and s twice, five roundings.
          expectClose([ad], [bc], 2 * 6 * U * Math.abs(bc), { what: `minor ${i}, ${j}` });
        }
      }
    }),
  );
});

test("gradient steps on A and B alone find a target of rank 1 that the base misses", () => {
  const sizes = { M: 32, inputs: 6, outputs: 5, r: 2 };
  const { lora: target, x } = draw({ ...sizes, r: 1 }, 7);
  const wanted = loraForward({ ...target, s: 0.25 }, x);
  let lora: Lora = loraInit(target.W, { r: sizes.r, alpha: 2, random: uniform(3) });
  const zeroA = array(lora.A.shape);
  const zeroB = array(lora.B.shape);

  // The loss is the mean squared error over rows; its gradient at y is 2 (y - wanted) / M.
  const residual = (adapter: Lora) =>
    loraForward(adapter, x).data.map((value, i) => value - wanted.data[i]!);
  const loss = (adapter: Lora) =>
    residual(adapter).reduce((sum, value) => sum + value * value, 0) / sizes.M;
  const before = loss(lora);
  for (let step = 0; step < 500; step++) {
    const dy = array(
      wanted.shape,
      residual(lora).map((value) => (2 * value) / sizes.M),
    );
    const { dA, dB } = loraBackward(lora, x, dy);
    const A = sgd(lora.A, dA, zeroA, { lr: 0.05 }).p;
    const B = sgd(lora.B, dB, zeroB, { lr: 0.05 }).p;
    lora = { ...lora, A, B };
  }
  assert.ok(loss(lora) < 1e-6 * before, `loss ${loss(lora)}, before ${before}`);
  expectSame(lora.W.data, target.W.data);
});

test.run();
