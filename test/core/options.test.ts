import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { expectOptions, type OptionNames } from "../../src/core/options.ts";

interface Settings {
  readonly lr?: number;
  readonly maxNewTokens?: number;
  readonly batchSize?: number;
}

const NAMES: OptionNames<Settings> = { lr: true, maxNewTokens: true, batchSize: true };

function refusal(options: unknown): string {
  try {
    expectOptions(options as Settings, NAMES, "the test");
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as Error).message;
  }
  return "none";
}

test("known options pass, in any number", () => {
  for (const options of [{}, { lr: 1 }, { lr: 1, maxNewTokens: 2, batchSize: undefined }]) {
    assert.is(refusal(options), "none");
  }
});

test("a key that nobody knows is refused with the nearest name", () => {
  for (const [key, nearest] of [
    ["batchsize", "batchSize"],
    ["batchSise", "batchSize"],
    ["max_new_tokens", "maxNewTokens"],
    ["learningRate", "lr"],
    ["learning_rate", "lr"],
    ["l", "lr"],
    ["tokens", "maxNewTokens"],
    ["batch", "batchSize"],
  ] as const) {
    assert.is(
      refusal({ [key]: 1 }),
      `"${key}" is not an option of the test; did you mean ${nearest}? The options are lr, maxNewTokens, batchSize.`,
    );
  }
});

test("names that every object has are not options", () => {
  for (const key of ["constructor", "toString", "hasOwnProperty"]) {
    assert.match(refusal({ [key]: 1 }), `"${key}" is not an option`);
  }
  assert.match(refusal(JSON.parse('{ "__proto__": 1 }')), '"__proto__" is not an option');
});

test("inherited keys count as they do where they are read", () => {
  assert.is(refusal(Object.create({ lr: 1 })), "none");
  assert.match(refusal(Object.create({ rate: 1 })), '"rate" is not an option');
});

test("what is no object of options is refused with what it is", () => {
  for (const [value, kind] of [
    [undefined, "undefined"],
    [null, "null"],
    [5, "5"],
    [Number.NaN, "NaN"],
    ["lr", '"lr"'],
    ["", '""'],
    [true, "true"],
    [[], "an empty array"],
    [[1], "an array"],
    [() => 1, "a function"],
  ] as const) {
    assert.is(
      refusal(value),
      `The options of the test must be an object, but ${kind} was given. They are lr, maxNewTokens, batchSize.`,
    );
  }
});

test.run();
