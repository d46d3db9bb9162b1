// What optimizers and clipping refuse, and what clipping leaves alone.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import type { OptimizerState } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { addGradient, bits } from "./gradient.ts";

const all = await engines();
const { engine } = all[0]!;

function expectRefusal(call: () => unknown, message: RegExp): void {
  assert.throws(call, (error: unknown) => {
    if (error instanceof UsageError && message.test(error.message)) return true;
    throw error;
  });
}

function testIn(name: string, body: () => void): void {
  test(name, () => engine.run(body));
}

function trainable(shape: readonly number[] = [3]): Tensor {
  return zeros(shape, { requiresGrad: true });
}

testIn("parameters that cannot train are refused, and nothing stays allocated", () => {
  const good = trainable();
  const frozen = zeros([3, 4]);
  const packed = zeros([16, 4]);
  packed.pack();
  // The first scope allocates the tape's arena, which stays.
  scope(() => {});
  const { persistentBytes } = engine.stats();
  for (const make of [AdamW, SGD]) {
    expectRefusal(() => new make([good, frozen]), /shape \[3,4\] does not require a gradient/);
    expectRefusal(() => new make([packed]), /shape \[16,4\] is packed, hence frozen/);
    expectRefusal(() => new make([]), /no parameters/);
    expectRefusal(() => new make([{ params: [] }]), /no parameters/);
    expectRefusal(() => new make([good, good]), /shape \[3\] was given to an optimizer twice/);
    expectRefusal(() => new make([{ params: [good] }, { params: [good] }]), /twice/);
    scope(() => {
      const mortal = trainable();
      expectRefusal(() => new make([mortal]), /belongs to a scope/);
    });
    const other = all[2]!.engine.run(() => trainable());
    expectRefusal(() => new make([good, other]), /two engines/);
    other.dispose();
  }
  const mixed = [good, { params: [good] }] as unknown as Tensor[];
  expectRefusal(() => new AdamW(mixed), /1 tensors mixed with 1 parameter groups/);
  assert.is(engine.stats().persistentBytes, persistentBytes);
  for (const made of [good, frozen, packed]) made.dispose();
});

testIn("a generator that has been walked through is refused, not taken as nothing to do", () => {
  const weight = trainable();
  function* parameters(): Generator<Tensor> {
    yield weight;
  }
  const once = parameters();
  const optimizer = new AdamW(once);
  expectRefusal(() => clipGradNorm(once, 1), /clipGradNorm got no parameters/);
  expectRefusal(() => new AdamW(once), /An optimizer got no parameters/);
  optimizer.dispose();
  weight.dispose();
});

testIn("settings out of range are refused by name", () => {
  const weight = trainable();
  const params = [weight];
  const nan = Number.NaN;
  expectRefusal(() => new AdamW(params, { lr: -1 }), /lr is -1/);
  expectRefusal(() => new AdamW(params, { lr: Number.POSITIVE_INFINITY }), /lr is Infinity/);
  expectRefusal(() => new AdamW([{ params, lr: nan }]), /lr is NaN/);
  expectRefusal(() => new AdamW([{ params, weightDecay: -2 }]), /weightDecay is -2/);
  expectRefusal(() => new AdamW(params, { betas: [1, 0.999] }), /betas are \[1,0\.999\]/);
  expectRefusal(() => new AdamW(params, { betas: [0.9, nan] }), /betas are \[0\.9,NaN\]/);
  expectRefusal(() => new AdamW(params, { eps: -1e-8 }), /eps is -1e-8/);
  expectRefusal(() => new SGD(params, { momentum: -0.1 }), /momentum is -0\.1/);
  expectRefusal(() => new SGD(params, { nesterov: true }), /nesterov needs momentum/);
  const optimizer = new AdamW(params);
  expectRefusal(() => optimizer.setScheduleFactor(-1), /factor is -1/);
  expectRefusal(() => {
    optimizer.paramGroups[0]!.lr = nan;
  }, /lr is NaN/);
  assert.is(optimizer.paramGroups[0]!.lr, 1e-3);
  expectRefusal(() => clipGradNorm(params, -1), /maxNorm is -1/);
  expectRefusal(() => clipGradNorm(params, nan), /maxNorm is NaN/);
  optimizer.dispose();
  weight.dispose();
});

testIn(
  "a state of other parameters or another optimizer is refused, and nothing has changed",
  () => {
    const weights = [trainable([3]), trainable([2, 2])];
    const optimizer = new AdamW(weights);
    for (const weight of weights) addGradient(weight, new Float32Array(weight.size).fill(1));
    optimizer.step();
    const state = optimizer.stateDict();
    const before = structuredClone(state);
    const [first = null, second = null] = state.parameters;
    const of = (length: number) => new Float32Array(length);
    const refused: readonly (readonly [OptimizerState, RegExp])[] = [
      [{ ...state, optimizer: "SGD" }, /one of SGD; this optimizer is AdamW/],
      [{ ...state, parameters: [first] }, /one of 1 parameters; this optimizer has 2/],
      [{ ...state, parameters: [second, first] }, /parameter 0 has 1 steps and moments of \[4,4\]/],
      [
        { ...state, parameters: [null, { step: 1, moments: [of(4)] }] },
        /parameter 1 .* shape \[2,2\] needs at least 1 step and 2 moments of 4 values/,
      ],
      [{ ...state, parameters: [null, { step: 0, moments: [of(4), of(4)] }] }, /has 0 steps/],
      [{ ...state, parameters: [null, { step: 1.5, moments: [of(4), of(4)] }] }, /has 1\.5 steps/],
    ];
    for (const [bad, message] of refused) {
      expectRefusal(() => optimizer.loadStateDict(bad), message);
      assert.equal(optimizer.stateDict(), before);
    }
    optimizer.dispose();
    for (const weight of weights) weight.dispose();
  },
);

testIn(
  "clipping leaves gradients alone when the norm is below, not finite, or only measured",
  () => {
    const cases: readonly (readonly [readonly number[], number, number])[] = [
      [[3, 4], 5.1, 5],
      [[3, 4], Number.POSITIVE_INFINITY, 5],
      [[3, 4], 0, 5],
      [[0, -0], 1, 0],
      [[3, Number.POSITIVE_INFINITY], 1, Number.POSITIVE_INFINITY],
      [[Number.NaN, 4], 1, Number.NaN],
      // The squares of these overflow float32, their sum in float64 does not; below the bound all the same.
      [[3e38, 0], 1e39, Math.fround(3e38)],
    ];
    for (const [gradient, maxNorm, norm] of cases) {
      const weight = tensor([0, 0], { requiresGrad: true });
      addGradient(weight, gradient);
      const before = weight.grad!;
      assert.ok(Object.is(clipGradNorm([weight], maxNorm), norm), `norm of [${gradient}]`);
      expectSame(bits(weight.grad!), bits(before), { what: `[${gradient}] to ${maxNorm}` });
      weight.dispose();
    }
  },
);

testIn("parameters without a gradient, frozen ones too, do not count in the norm", () => {
  const [weight, idle, frozen] = [trainable([2]), trainable([5]), zeros([4])];
  const parameters = [idle, weight, frozen, weight];
  assert.is(clipGradNorm(parameters, 1), 0);
  addGradient(weight, [6, 8]);
  // Given twice, it counts once.
  assert.is(clipGradNorm(parameters, 1), 10);
  const [a = 0, b = 0] = weight.grad!;
  assert.ok(Math.abs(a - 0.6) < 1e-6 && Math.abs(b - 0.8) < 1e-6, `clipped to [${[a, b]}]`);
  assert.is(idle.grad, null);
  for (const made of [weight, idle, frozen]) made.dispose();
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
