// Every op of the float64 reference against PyTorch's float64 values and gradients (test/fixtures/ops.json).

import { test } from "uvu";
import * as assert from "uvu/assert";
import * as activation from "../../src/reference/activation.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import { attention, attentionBackward } from "../../src/reference/attention.ts";
import { crossEntropy, crossEntropyBackward } from "../../src/reference/crossEntropy.ts";
import * as elementwise from "../../src/reference/elementwise.ts";
import { embedding, embeddingBackward } from "../../src/reference/embedding.ts";
import { linear, linearBackward } from "../../src/reference/linear.ts";
import { matmul, matmulBackward } from "../../src/reference/matmul.ts";
import {
  layerNorm,
  layerNormBackward,
  rmsNorm,
  rmsNormBackward,
} from "../../src/reference/norm.ts";
import * as reduce from "../../src/reference/reduce.ts";
import { rope, ropeBackward } from "../../src/reference/rope.ts";
import * as shape from "../../src/reference/shape.ts";
import {
  logSoftmax,
  logSoftmaxBackward,
  softmax,
  softmaxBackward,
} from "../../src/reference/softmax.ts";
import { type FixtureTensor, type OpArgs, readFixture } from "../fixtures/fixture.ts";

type Result = { readonly y: Arr; readonly grads: readonly Arr[] };
type Replay = (dy: (y: Arr) => Arr, inputs: readonly Arr[], args: OpArgs) => Result;

function toArr({ shape, data }: FixtureTensor): Arr {
  return array(shape, data);
}

function unary(forward: (x: Arr) => Arr, backward: (dy: Arr, x: Arr) => Arr): Replay {
  return (dy, [x]) => {
    const y = forward(x!);
    return { y, grads: [backward(dy(y), x!)] };
  };
}

function binary(
  forward: (a: Arr, b: Arr) => Arr,
  backward: (dy: Arr, a: Arr, b: Arr) => elementwise.PairGradients,
): Replay {
  return (dy, [a, b]) => {
    const y = forward(a!, b!);
    const { da, db } = backward(dy(y), a!, b!);
    return { y, grads: [da, db] };
  };
}

function reduction(
  forward: (x: Arr, options: reduce.ReduceOptions) => Arr,
  backward: (dy: Arr, x: Arr, options: reduce.ReduceOptions) => Arr,
): Replay {
  return (dy, [x], args) => {
    const y = forward(x!, args);
    return { y, grads: [backward(dy(y), x!, args)] };
  };
}

const replays: Readonly<Record<string, Replay>> = {
  matmul: binary(matmul, matmulBackward),
  linear: (dy, [x, W, bias]) => {
    const y = linear(x!, W!, { bias });
    const { dx, dW, db } = linearBackward(dy(y), x!, W!, { bias });
    return { y, grads: db === undefined ? [dx, dW] : [dx, dW, db] };
  },
  linearLowRank: (dy, [x, W, A, B, bias], args) => {
    const options = { bias, lowRank: { A: A!, B: B!, scale: args.scale! } };
    const y = linear(x!, W!, options);
    const { dx, dW, dA, dB, db } = linearBackward(dy(y), x!, W!, options);
    return { y, grads: db === undefined ? [dx, dW, dA!, dB!] : [dx, dW, dA!, dB!, db] };
  },
  add: binary(elementwise.add, elementwise.addBackward),
  sub: binary(elementwise.sub, elementwise.subBackward),
  mul: binary(elementwise.mul, elementwise.mulBackward),
  div: binary(elementwise.div, elementwise.divBackward),
  neg: unary(activation.neg, activation.negBackward),
  exp: unary(activation.exp, activation.expBackward),
  log: unary(activation.log, activation.logBackward),
  sqrt: unary(activation.sqrt, activation.sqrtBackward),
  tanh: unary(activation.tanh, activation.tanhBackward),
  sigmoid: unary(activation.sigmoid, activation.sigmoidBackward),
  relu: unary(activation.relu, activation.reluBackward),
  gelu: unary(activation.gelu, activation.geluBackward),
  geluTanh: unary(activation.geluTanh, activation.geluTanhBackward),
  silu: unary(activation.silu, activation.siluBackward),
  sum: reduction(reduce.sum, reduce.sumBackward),
  mean: reduction(reduce.mean, reduce.meanBackward),
  max: reduction(reduce.max, reduce.maxBackward),
  softmax: unary(softmax, softmaxBackward),
  logSoftmax: unary(logSoftmax, logSoftmaxBackward),
  crossEntropy: (dy, [logits], args) => {
    const targets = toArr(args.targets!);
    const y = crossEntropy(logits!, targets, args);
    return { y, grads: [crossEntropyBackward(dy(y), logits!, targets, args)] };
  },
  layerNorm: (dy, [x, gain, bias], args) => {
    const eps = args.eps!;
    const y = layerNorm(x!, gain!, bias!, eps);
    const { dx, dgain, dbias } = layerNormBackward(dy(y), x!, gain!, eps);
    return { y, grads: [dx, dgain, dbias] };
  },
  rmsNorm: (dy, [x, gain], args) => {
    const eps = args.eps!;
    const y = rmsNorm(x!, gain!, eps);
    const { dx, dgain } = rmsNormBackward(dy(y), x!, gain!, eps);
    return { y, grads: [dx, dgain] };
  },
  embedding: (dy, [weight], args) => {
    const ids = toArr(args.ids!);
    const y = embedding(weight!, ids);
    return { y, grads: [embeddingBackward(dy(y), weight!, ids)] };
  },
  rope: (dy, [x], args) => {
    const positions = toArr(args.positions!);
    const y = rope(x!, positions, args);
    return { y, grads: [ropeBackward(dy(y), positions, args)] };
  },
  attention: (dy, [q, k, v], args) => {
    const { starts, ...rest } = args;
    const options = starts === undefined ? rest : { ...rest, starts: toArr(starts) };
    const y = attention(q!, k!, v!, options);
    const { dq, dk, dv } = attentionBackward(dy(y), q!, k!, v!, options);
    return { y, grads: [dq, dk, dv] };
  },
  reshape: (dy, [x], args) => {
    const y = shape.reshape(x!, args.shape!);
    return { y, grads: [shape.reshapeBackward(dy(y), x!)] };
  },
  transpose: (dy, [x], args) => {
    const order = args.order!;
    const y = shape.transpose(x!, order);
    return { y, grads: [shape.transposeBackward(dy(y), order)] };
  },
  slice: (dy, [x], args) => {
    const { axis, start, end, step } = args;
    const options = { axis: axis!, start: start!, end: end!, step: step! };
    const y = shape.slice(x!, options);
    return { y, grads: [shape.sliceBackward(dy(y), x!, options)] };
  },
  concat: (dy, xs, args) => {
    const axis = args.axis!;
    const y = shape.concat(xs, axis);
    return { y, grads: shape.concatBackward(dy(y), xs, axis) };
  },
  gather: (dy, [x], args) => {
    const axis = args.axis!;
    const index = toArr(args.index!);
    const y = shape.gather(x!, axis, index);
    return { y, grads: [shape.gatherBackward(dy(y), x!, axis, index)] };
  },
  indexSelect: (dy, [x], args) => {
    const axis = args.axis!;
    const index = toArr(args.index!);
    const y = shape.indexSelect(x!, axis, index);
    return { y, grads: [shape.indexSelectBackward(dy(y), x!, axis, index)] };
  },
};

/**
 * Both sides are float64 and round a few dozen times, 2^-53 = 1.1e-16 each, on terms of at most about 100: the sums
 * differ by 1e-13 at most where terms cancel. 1e-12 leaves room for exp, log, sin and cos that differ in their last
 * digits, and is far below what a wrong formula would give.
 */
function isClose(actual: Arr, expected: FixtureTensor, what: string): void {
  assert.equal([...actual.shape], expected.shape, `${what}: shape`);
  for (const [i, value] of expected.data.entries()) {
    const found = actual.data[i]!;
    const allowed = 1e-12 * (1 + Math.abs(value));
    assert.ok(Math.abs(found - value) <= allowed, `${what}[${i}]: ${found}, PyTorch ${value}`);
  }
}

const { cases } = readFixture("ops");

for (const op of new Set(cases.map((item) => item.op))) {
  test(`${op} and its gradients equal PyTorch's`, () => {
    const replay = replays[op];
    if (replay === undefined) throw new Error(`The fixture has an op that no replay knows: ${op}.`);
    for (const [n, item] of cases.filter((candidate) => candidate.op === op).entries()) {
      const dy = (y: Arr): Arr => array(y.shape, item.cotangent);
      const { y, grads } = replay(dy, item.inputs.map(toArr), item.args);
      isClose(y, item.output, `case ${n}: output`);
      assert.is(grads.length, item.grads.length);
      for (const [i, expected] of item.grads.entries()) {
        isClose(grads[i]!, expected, `case ${n}: gradient of input ${i}`);
      }
    }
  });
}

test("every replay has cases", () => {
  const ops = new Set(cases.map((item) => item.op));
  assert.equal(
    Object.keys(replays).filter((op) => !ops.has(op)),
    [],
  );
});

test.run();
