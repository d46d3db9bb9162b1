// The tensor engine alone: a gradient is checked by differences, and a network of one hidden layer learns y = sin(3x).
// Numbers are float32; ops inside a scope are recorded, and what they made is freed when it closes.
//   node dist/examples/tensors.js

import { AdamW, init, normal, scope, type Tensor, tensor, zeros } from "lowrank";

await init();

const POINTS = 64;
const HIDDEN = 32;
const grid = Float32Array.from({ length: POINTS }, (_, i) => (2 * i) / (POINTS - 1) - 1);
const x = tensor(grid, { shape: [POINTS, 1] });
const y = tensor(
  grid.map((value) => Math.sin(3 * value)),
  { shape: [POINTS, 1] },
);

const w1 = normal([1, HIDDEN], { seed: 1, std: 2, requiresGrad: true });
const b1 = normal([HIDDEN], { seed: 2, requiresGrad: true });
const w2 = normal([HIDDEN, 1], { seed: 3, std: 0.2, requiresGrad: true });
const b2 = zeros([1], { requiresGrad: true });

/** Mean squared error of tanh(x·w1 + b1)·w2 + b2. */
const error = (): Tensor => {
  const difference = x.matmul(w1).add(b1).tanh().matmul(w2).add(b2).sub(y);
  return difference.mul(difference).mean();
};

// The slope along one element of w1, from the tape and from two values of the function.
const at = scope(() => {
  error().backward();
  return w1.grad?.[0] ?? 0;
});
const H = 1e-2;
const values = w1.toArray();
const errorWith = (shift: number): number => {
  w1.set(values.map((value, i) => (i === 0 ? value + shift : value)));
  return scope(() => error().item());
};
const slope = (errorWith(H) - errorWith(-H)) / (2 * H);
w1.set(values);
w1.zeroGrad();
console.log(`dw1[0]  backward ${at.toExponential(2)}  differences ${slope.toExponential(2)}`);

const optimizer = new AdamW([w1, b1, w2, b2], { lr: 0.02, weightDecay: 0 });
for (let step = 0; step <= 300; step++) {
  const loss = scope(() => {
    const value = error();
    value.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return value.item();
  });
  if (step % 100 === 0)
    console.log(`step ${String(step).padStart(3)}  error ${loss.toExponential(2)}`);
}
