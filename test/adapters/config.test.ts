import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type LoraOptions, resolveLoraConfig } from "../../src/adapters/loraConfig.ts";
import { UsageError } from "../../src/core/error.ts";

test("the defaults are PEFT's", () => {
  assert.equal(resolveLoraConfig(), {
    r: 8,
    loraAlpha: 8,
    loraDropout: 0,
    targetModules: null,
    excludeModules: null,
    layersToTransform: null,
    layersPattern: null,
    rankPattern: new Map(),
    alphaPattern: new Map(),
    useRslora: false,
    initLoraWeights: true,
    bias: "none",
    fanInFanOut: false,
  });
});

test("a complete config resolves to itself", () => {
  const config = resolveLoraConfig({
    r: 3,
    loraAlpha: 4.5,
    targetModules: ["a"],
    layersToTransform: 2,
    layersPattern: "h",
    rankPattern: { b: 2, a: 1 },
  });
  assert.equal(resolveLoraConfig(config), config);
  assert.equal([...config.rankPattern.keys()], ["b", "a"]);
});

const wrong: [string, object, RegExp][] = [
  ["r = 0", { r: 0 }, /^r is 0, but must be a whole number from 1 to/],
  ["r = -1", { r: -1 }, /^r is -1,/],
  ["r = 1e9", { r: 1e9 }, /^r is 1000000000,/],
  ["a fractional r", { r: 1.5 }, /^r is 1.5,/],
  ["a string as r", { r: "8" }, /^r is "8",/],
  [
    "an alpha that is NaN",
    { loraAlpha: Number.NaN },
    /^loraAlpha is NaN, but must be a finite number/,
  ],
  ["a string as alpha", { loraAlpha: "16" }, /^loraAlpha is "16",/],
  ["an unknown prepack", { prepack: "twice" }, /^prepack is "twice", but must be "forward" or/],
  ["a dropout of 1", { loraDropout: 1 }, /^loraDropout is 1, but must be a probability/],
  ["a negative dropout", { loraDropout: -0.1 }, /^loraDropout is -0.1,/],
  ["an empty list of targets", { targetModules: [] }, /^targetModules is \[\],/],
  ["a number among the targets", { targetModules: ["a", 1] }, /^targetModules is/],
  ["an empty name", { targetModules: [""] }, /^targetModules is/],
  [
    "a target pattern that can run away",
    { targetModules: "(a+)+" },
    /^targetModules is the pattern/,
  ],
  ["an exclusion that is no pattern", { excludeModules: "(" }, /^excludeModules is the pattern/],
  ["a negative layer", { layersToTransform: -1 }, /^layersToTransform is -1,/],
  [
    "layers with a pattern as target",
    { targetModules: ".*", layersToTransform: 1 },
    /cannot be combined/,
  ],
  [
    "a layer pattern without layers",
    { targetModules: ["a"], layersPattern: "h" },
    /needs layersToTransform/,
  ],
  ["a rank of 0 in a pattern", { rankPattern: { q: 0 } }, /^rankPattern "q" is 0,/],
  ["a key that is no pattern", { alphaPattern: { "(": 1 } }, /^alphaPattern "\(" is the pattern/],
  ["a list as pattern", { rankPattern: ["a"] }, /^rankPattern is/],
  [
    "an unknown initialisation",
    { initLoraWeights: "pissa" },
    /^initLoraWeights is "pissa", but must be true, false/,
  ],
  ["training of biases", { bias: "all" }, /^bias is "all", but must be "none"/],
  ["a string as a flag", { useRslora: "yes" }, /^useRslora is "yes",/],
  ["an unknown option", { alpha: 16 }, /"alpha" is not an option of LoRA; did you mean/],
  ["an option in PEFT's spelling", { lora_alpha: 16 }, /did you mean loraAlpha\?/],
];
for (const [what, options, message] of wrong) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => resolveLoraConfig(options as LoraOptions),
      (error: unknown) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test("any value of any option gives a config or a UsageError", () => {
  const keys = Object.keys(resolveLoraConfig());
  fc.assert(
    fc.property(fc.constantFrom(...keys), fc.anything(), (key, value) => {
      try {
        resolveLoraConfig({ [key]: value } as LoraOptions);
      } catch (error) {
        assert.instance(error, UsageError);
      }
    }),
    { numRuns: 3000 },
  );
});

test.run();
