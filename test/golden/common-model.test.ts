// The start values of the common GPT model against the check values that were published with its losses.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { readFixture } from "../fixtures/fixture.ts";
import { type CommonSize, commonSizes, commonStart, type NamedTensor } from "./common-model.ts";
import { Generator } from "./generator.ts";

const fixture = readFixture("golden");

/** Check values are printed with 8 digits, so half a unit of the eighth is allowed. */
function isPrinted(value: number | undefined, printed: number): void {
  assert.ok(
    value !== undefined && Math.abs(value - printed) <= 5e-8 * Math.abs(printed),
    `${value} ${printed}`,
  );
}

function count(tensors: readonly NamedTensor[]): number {
  return tensors.reduce((sum, tensor) => sum + tensor.data.length, 0);
}

function tensorNamed(tensors: readonly NamedTensor[], name: string): NamedTensor {
  const tensor = tensors.find((candidate) => candidate.name === name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor;
}

// L draws 28 million numbers; S and M walk the same code.
const small: readonly CommonSize[] = [commonSizes.S, commonSizes.M];
const firstTokens: Readonly<Record<string, readonly number[]>> = {
  S: [141, 21, 40, 83],
  M: [368, 75, 233, 403],
};

for (const size of small) {
  const start = commonStart(size);

  test(`${size.name}: the first weights are the published ones`, () => {
    const { data } = tensorNamed(start.weights, "tok");
    for (const [i, printed] of [-0.019494649, 0.009527746, -0.013721565].entries()) {
      isPrinted(data[i], printed);
    }
  });

  test(`${size.name}: the tokens, drawn last, begin with the published ones and stay in the vocabulary`, () => {
    assert.equal([...start.x.slice(0, 4)], firstTokens[size.name]);
    assert.is(start.x.length, size.batch * size.length);
    assert.is(start.y.length, size.batch * size.length);
    for (const token of [...start.x, ...start.y]) assert.ok(token >= 0 && token < size.vocab);
  });

  test(`${size.name}: base and adapter have the published numbers of parameters`, () => {
    assert.is(count(start.weights), size.parameters);
    assert.is(count(start.lora), size.loraParameters);
  });

  test(`${size.name}: norms start as the identity and every B at zero`, () => {
    for (const { name, data } of [...start.weights, ...start.lora]) {
      if (name.endsWith(".gain"))
        assert.ok(
          data.every((value) => value === 1),
          name,
        );
      if (name.endsWith(".bias") || name.endsWith(".B"))
        assert.ok(
          data.every((value) => value === 0),
          name,
        );
    }
  });

  test(`${size.name}: the published losses agree with those of a second PyTorch in float64`, () => {
    for (const mode of ["full", "lora"] as const) {
      for (const [i, loss] of size.losses[mode].entries()) {
        const truth = fixture[size.name][mode].float64[i] ?? Number.NaN;
        assert.ok(
          Math.abs(loss - truth) <= 1e-6 * truth,
          `${mode} step ${i + 1}: ${loss} ${truth}`,
        );
      }
    }
  });
}

test("the first numbers of S's first A are the published ones", () => {
  const { data } = tensorNamed(commonStart(commonSizes.S).lora, "0.q.A");
  isPrinted(data[0], 0.0081068715);
  isPrinted(data[1], -0.30651456);
});

test("uniform numbers lie in [0, 1) and one seed gives one stream", () => {
  const [first, second] = [new Generator(7), new Generator(7)];
  for (let i = 0; i < 1000; i++) {
    const u = first.uniform();
    assert.ok(u >= 0 && u < 1);
    assert.is(u, second.uniform());
  }
});

test.run();
