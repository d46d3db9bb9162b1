import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { lora } from "../../src/adapters/lora.ts";
import { type LoraConfig, resolveLoraConfig } from "../../src/adapters/loraConfig.ts";
import { FormatError } from "../../src/core/error.ts";
import { formatPeftConfig, parsePeftConfig } from "../../src/io/peft-config.ts";

const fixtures = new URL("../../../test/fixtures/peft/", import.meta.url);
const encode = (text: string) => new TextEncoder().encode(text);
const parse = (value: unknown) => parsePeftConfig(encode(JSON.stringify(value)));
const minimal = { peft_type: "LORA", r: 4, target_modules: ["q_proj"] };

test("the configs that PEFT wrote are read without a warning and say what was asked of PEFT", () => {
  const read = (family: string) =>
    parsePeftConfig(readFileSync(new URL(`${family}/adapter/adapter_config.json`, fixtures)));
  const llama = read("llama");
  assert.equal(llama.warnings, []);
  assert.is(llama.config.taskType, "CAUSAL_LM");
  assert.is(llama.config.baseModelNameOrPath, null);
  const config = llama.config.config as LoraConfig;
  assert.is(config.r, 4);
  assert.is(config.loraAlpha, 6);
  assert.equal([...config.targetModules!].sort(), ["down_proj", "q_proj", "v_proj"]);
  assert.equal([...config.rankPattern], [["layers.1.self_attn.q_proj", 2]]);
  assert.equal([...config.alphaPattern], [["down_proj", 3.5]]);
  const gpt2 = read("gpt2").config.config as LoraConfig;
  assert.is(gpt2.useRslora, true);
  assert.is(gpt2.fanInFanOut, true);
  assert.is((read("qwen2").config.config as LoraConfig).loraDropout, 0.1);
});

for (const family of ["llama", "gpt2", "qwen2"]) {
  test(`the ${family} config of PEFT is written again to the same bytes, but for the order of the targets`, () => {
    const bytes = readFileSync(new URL(`${family}/adapter/adapter_config.json`, fixtures));
    const sorted = bytes
      .toString()
      .replace(/"target_modules": \[\n([^\]]*)\n {2}\]/, (_, lines: string) => {
        const names = lines.split(",\n").sort();
        return `"target_modules": [\n${names.join(",\n")}\n  ]`;
      });
    assert.is(formatPeftConfig(parsePeftConfig(bytes).config), sorted);
  });
}

test("a config made here is read back as the same config", () => {
  const names = fc.array(fc.stringMatching(/^[a-z_]{1,8}$/), { minLength: 1, maxLength: 3 });
  const pattern = fc.uniqueArray(
    fc.tuple(fc.stringMatching(/^[a-z.]{1,8}$/), fc.integer({ min: 1, max: 64 })),
    {
      selector: ([key]) => key,
      maxLength: 4,
    },
  );
  const options = fc.record({
    r: fc.integer({ min: 1, max: 256 }),
    loraAlpha: fc.double({ noNaN: true, noDefaultInfinity: true }),
    loraDropout: fc.double({ min: 0, max: 0.999, noNaN: true }),
    targetModules: names.map((list) => [...list].sort()),
    excludeModules: fc.option(names.map((list) => [...list].sort())),
    rankPattern: pattern.map((entries) => new Map(entries)),
    alphaPattern: pattern.map((entries) => new Map(entries)),
    useRslora: fc.boolean(),
    initLoraWeights: fc.constantFrom(true, false, "gaussian" as const),
  });
  fc.assert(
    fc.property(options, fc.option(fc.string()), (given, baseModelNameOrPath) => {
      const resolved = resolveLoraConfig(given);
      const config = {
        method: lora,
        config: resolved,
        baseModelNameOrPath,
        taskType: "CAUSAL_LM",
        revision: null,
      };
      const { config: back, warnings } = parsePeftConfig(encode(formatPeftConfig(config)));
      assert.equal({ ...back, fields: null }, { ...config, fields: null });
      // The first key that matches counts.
      const { rankPattern } = back.config as LoraConfig;
      assert.equal([...rankPattern.keys()], [...resolved.rankPattern.keys()]);
      assert.equal(warnings, []);
    }),
  );
});

test("a fresh config is written with sorted keys, as for inference, with a version of PEFT", () => {
  const text = formatPeftConfig({
    method: lora,
    config: resolveLoraConfig({ targetModules: ["v_proj", "q_proj"] }),
    taskType: "CAUSAL_LM",
    baseModelNameOrPath: "base",
    revision: null,
  });
  const object = JSON.parse(text);
  assert.equal(Object.keys(object), Object.keys(object).sort());
  assert.is(object.inference_mode, true);
  assert.match(object.peft_version, /^\d+\.\d+\.\d+$/);
  assert.equal(object.target_modules, ["q_proj", "v_proj"]);
  assert.match(text, /"lora_dropout": 0\.0,/);
});

test("unknown keys are warned about by name, kept, and change nothing", () => {
  const { config, warnings } = parse({ ...minimal, shiny: { new: [1.0, "é"] } });
  assert.is(warnings.length, 1);
  assert.match(warnings[0]!, /adapter_config\.json: the key "shiny" is not known/);
  assert.equal(JSON.parse(formatPeftConfig(config)).shiny, { new: [1, "é"] });
  assert.equal({ ...config, fields: null }, { ...parse(minimal).config, fields: null });
});

test("an initialisation that changed the base is refused by name, others are not", () => {
  for (const [value, name] of [
    ["pissa", "PiSSA"],
    ["pissa_niter_16", "PiSSA"],
    ["olora", "OLoRA"],
    ["OLoRA", "OLoRA"],
    ["corda", "CorDA"],
    ["loftq", "LoftQ"],
    ["lora_ga", "LoRA-GA"],
  ] as const) {
    assert.throws(
      () => parse({ ...minimal, init_lora_weights: value }),
      (error: unknown) =>
        error instanceof FormatError &&
        error.message.includes(
          `"init_lora_weights" is "${value}": ${name} changes the base weights`,
        ) &&
        error.message.includes("path_initial_model_for_weight_conversion"),
    );
  }
  assert.throws(
    () => parse({ ...minimal, init_lora_weights: "lora_null" }),
    /"init_lora_weights" is "lora_null": it is not known, and may change the base weights/,
  );
  for (const name of ["gaussian", "eva", "orthogonal", "mica", true, false]) {
    assert.equal(parse({ ...minimal, init_lora_weights: name }).warnings, []);
  }
  // What PEFT leaves in the config of an adapter that it has converted.
  const converted = { ...minimal, init_lora_weights: true, corda_config: { cache_file: "x" } };
  assert.equal(parse(converted).warnings, []);
});

test("many unknown keys are a short list of remarks", () => {
  const keys = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`key_${i}`, i]));
  const { warnings } = parse({ ...minimal, ...keys });
  assert.is(warnings.length, 21);
  assert.match(warnings[0]!, /the key "key_0" is not known/);
  assert.match(warnings[20]!, /980 more keys are not known/);
});

test("null means the default, as in PEFT", () => {
  const nulls = {
    lora_alpha: null,
    rank_pattern: null,
    lora_bias: null,
    exclude_modules: null,
    use_dora: null,
  };
  assert.equal(
    { ...parse({ ...minimal, ...nulls }).config, fields: null },
    { ...parse(minimal).config, fields: null },
  );
});

const refused: [string, string | Uint8Array | object, RegExp][] = [
  ["no JSON", "{", /at character 1/],
  ["an array", "[]", /must hold a JSON object/],
  ["a byte that is not UTF-8", Uint8Array.of(0x7b, 0xff), /not valid UTF-8/],
  ["r = 0", { r: 0 }, /: r is 0, but must be a whole number from 1/],
  ["r = -1", { r: -1 }, /: r is -1,/],
  ["r = 1e9", { r: 1e9 }, /: r is 1000000000,/],
  ['r = "8"', { r: "8" }, /: r is "8",/],
  [
    "an alpha of NaN",
    '{"peft_type": "LORA", "lora_alpha": NaN}',
    /: lora_alpha is NaN, but must be a finite number/,
  ],
  ["an alpha of 1e999", '{"peft_type": "LORA", "lora_alpha": 1e999}', /lora_alpha is Infinity/],
  ["a string as alpha", { lora_alpha: "16" }, /: lora_alpha is "16",/],
  ["a dropout of 1", { lora_dropout: 1 }, /: lora_dropout is 1,/],
  ["no peft_type", { peft_type: null }, /"peft_type" is missing, but only "LORA"/],
  ["another method", { peft_type: "LOHA" }, /"peft_type" is "LOHA", but only "LORA", "IA3"/],
  ["an unknown task", { task_type: "DANCING" }, /"task_type" is "DANCING", but must be one of/],
  ["a number as base model", { base_model_name_or_path: 7 }, /"base_model_name_or_path" is 7/],
  ["an object as initialisation", { init_lora_weights: {} }, /init_lora_weights is .* but must be/],
  ["a duplicate key", '{"peft_type": "LORA", "r": 4, "r": 8}', /"r" appears twice/],
  [
    "a target pattern that can run away",
    { target_modules: "(.*)*" },
    /: target_modules is the pattern/,
  ],
  ["a target pattern that cannot be translated", { target_modules: "(a)\\1" }, /backreference/],
  ["a target pattern above 1,000 characters", { target_modules: "a".repeat(1001) }, /at most 1000/],
  ["no targets", { target_modules: [] }, /: target_modules is \[\]/],
  [
    "a pattern together with layers",
    { target_modules: ".*", layers_to_transform: [1] },
    /layers_to_transform cannot be combined with a target_modules/,
  ],
  ["a bias that PEFT does not know", { bias: "some" }, /: bias is "some"/],
  ["DoRA", { use_dora: true }, /"use_dora" is set, which is not plain LoRA/],
  ["a bias of B", { lora_bias: true }, /"lora_bias"/],
  ["whole modules", { modules_to_save: ["lm_head"] }, /"modules_to_save"/],
  ["trained tokens", { trainable_token_indices: [1] }, /"trainable_token_indices"/],
  ["target_parameters", { target_parameters: ["x"] }, /"target_parameters"/],
  ["layer_replication", { layer_replication: [[0, 1]] }, /"layer_replication"/],
  ["aLoRA", { alora_invocation_tokens: [5] }, /"alora_invocation_tokens"/],
  ["VeLoRA", { velora_config: { a: 1 } }, /"velora_config"/],
  ["MonteCLoRA", { monteclora_config: { a: 1 } }, /"monteclora_config"/],
  ["BD-LoRA", { use_bdlora: { a: 1 } }, /"use_bdlora"/],
  ["Arrow", { arrow_config: { a: 1 } }, /"arrow_config"/],
  ["KaSA", { kasa_config: { a: 1 } }, /"kasa_config"/],
  ["QA-LoRA", { use_qalora: true }, /"use_qalora"/],
];
for (const [what, value, message] of refused) {
  test(`${what} is refused with the name of the file`, () => {
    const text = typeof value === "string" ? value : JSON.stringify({ ...minimal, ...value });
    assert.throws(
      () => parsePeftConfig(value instanceof Uint8Array ? value : encode(text)),
      (error: unknown) =>
        error instanceof FormatError &&
        error.message.includes("adapter_config.json") &&
        message.test(error.message),
    );
  });
}

test("any change of any value gives a config or a FormatError", () => {
  const whole = JSON.parse(
    readFileSync(new URL("llama/adapter/adapter_config.json", fixtures), "utf8"),
  );
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(whole)), fc.jsonValue(), (key, value) => {
      try {
        formatPeftConfig(parse({ ...whole, [key]: value }).config);
      } catch (error) {
        assert.instance(error, FormatError);
      }
    }),
    { numRuns: 3000 },
  );
});

test.run();
