import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { lora } from "../../src/adapters/lora.ts";
import { type LoraOptions, resolveLoraConfig } from "../../src/adapters/loraConfig.ts";
import { LoraScales } from "../../src/adapters/loraScale.ts";
import { type ModulePath, matchTargets } from "../../src/adapters/target.ts";
import { init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { Linear } from "../../src/nn/linear.ts";

await init({ threads: 1 });

type Family = "llama" | "gpt2";
type Expected = Record<string, [number, number]> | { error: string };
interface Oracle {
  modules: Record<Family, [string, string][]>;
  cases: ({ config: Record<string, unknown> } & Record<Family, Expected>)[];
}
const fixture = new URL("../../../test/fixtures/peft/matching.json", import.meta.url);
const oracle: Oracle = JSON.parse(readFileSync(fixture, "utf8"));

function kindOf(path: string, className: string): ModulePath["kind"] {
  if (path === "lm_head") return "head";
  if (className === "Linear" || className === "Conv1D") return "linear";
  return className === "Embedding" ? "embedding" : "other";
}
function modulesOf(family: Family): ModulePath[] {
  return oracle.modules[family].map(([path, name]) => ({ path, kind: kindOf(path, name) }));
}
const camel = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

for (const { config, ...expected } of oracle.cases) {
  test(`PEFT adapts the same modules with the same rank and scale for ${JSON.stringify(config)}`, () => {
    const options: LoraOptions = Object.fromEntries(
      Object.entries(config).map(([key, value]) => [camel(key), value]),
    );
    for (const family of ["llama", "gpt2"] as const) {
      let found: Record<string, [number, number]> | { error: string };
      try {
        const resolved = resolveLoraConfig(options);
        const { paths } = matchTargets(modulesOf(family), resolved, lora);
        found = Object.fromEntries(
          paths.map((path) => {
            const { r, scale } = new LoraScales(resolved).of(path);
            return [path, [r, scale]];
          }),
        );
      } catch (error) {
        assert.instance(error, UsageError);
        found = { error: "NoMatchingPeftModuleError" };
      }
      assert.equal(found, expected[family]);
    }
  });
}

const llama = modulesOf("llama");
const match = (options: LoraOptions, modelType?: string) =>
  matchTargets(llama, resolveLoraConfig(options), lora, modelType);
function failure(options: LoraOptions, modelType?: string): string {
  try {
    match(options, modelType);
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as UsageError).message;
  }
  return assert.unreachable("nothing was refused") as never;
}

test("without targets the default of the model's type is taken", () => {
  const { paths } = match({}, "llama");
  assert.equal(paths, match({ targetModules: ["q_proj", "v_proj"] }).paths);
});

test("without targets a model of unknown type is refused", () => {
  assert.match(failure({}, "bloom"), /no default targetModules .* "bloom"/);
});

test("a target that matches nothing is refused with the names that exist, the nearest first", () => {
  const message = failure({ targetModules: ["q_porj"] });
  assert.match(
    message,
    /"q_porj".* matches no module of this model; the linear layers are called "q_proj", /,
  );
  for (const name of [
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "lm_head",
  ]) {
    assert.ok(message.includes(`"${name}"`), name);
  }
  assert.match(message, /such as "model.layers.0.self_attn.q_proj"/);
});

test("a bare name given as a pattern is refused with the advice to give a list", () => {
  assert.match(
    failure({ targetModules: "q_proj" }),
    /A string is a regular expression for the whole path/,
  );
});

test("options that empty the selection are named in the error", () => {
  assert.match(
    failure({ targetModules: ["q_proj"], layersToTransform: [7] }),
    /with layersToTransform \[7\]/,
  );
  assert.match(
    failure({ targetModules: ["q_proj"], excludeModules: ".*" }),
    /with excludeModules "\.\*"/,
  );
});

test("a target that is no linear layer is refused by name", () => {
  assert.match(
    failure({ targetModules: ["q_proj", "input_layernorm"] }),
    /also matches "model.layers.0.input_layernorm"/,
  );
  assert.match(failure({ targetModules: ".*" }), /only linear layers/);
  assert.match(failure({ targetModules: ["embed_tokens"] }), /"model.embed_tokens"/);
});

test("a name, an exclusion or a pattern without effect is a warning with the nearest names", () => {
  const options = {
    targetModules: ["q_proj", "kproj"],
    excludeModules: ["nothing"],
    rankPattern: { "layers.5.q_proj": 2, q_proj: 4 },
    alphaPattern: { v_proj: 2 },
  };
  const { paths, warnings: ofTargets } = match(options);
  assert.is(paths.length, 2);
  const module = new Linear(8, 8);
  const sites = paths.map((path) => ({ kind: "linear", path, module }) as const);
  const warnings = [...ofTargets, ...lora.remarks!(resolveLoraConfig(options), sites)];
  assert.equal(
    warnings.map((warning) => warning.slice(0, 40)),
    [
      'targetModules "kproj" matches no module; the linear',
      'excludeModules ["nothing"] excludes no module.',
      'rankPattern "layers.5.q_proj" matches no adapted',
      'alphaPattern "v_proj" matches no adapted module',
    ].map((text) => text.slice(0, 40)),
  );
  assert.match(warnings[0]!, /are called "k_proj", /);
});

const layers = (count: number): ModulePath[] =>
  Array.from({ length: count }, (_, i) => ({ path: `model.layers.${i}.q_proj`, kind: "linear" }));

test("many patterns, each of them cheap, are refused when they take too long together", () => {
  const heavy = `.*${"a?".repeat(100)}.*[${"b".repeat(300)}]x`;
  const rankPattern = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`${heavy}${i}`, 1]),
  );
  const started = performance.now();
  for (const options of [
    { targetModules: ["q_proj"], rankPattern },
    { targetModules: ["q_proj"], alphaPattern: rankPattern },
    { targetModules: ["q_proj"], layersToTransform: 1, layersPattern: Object.keys(rankPattern) },
  ]) {
    assert.throws(
      () => {
        const config = resolveLoraConfig(options);
        const { paths } = matchTargets(layers(200), config, lora);
        const scales = new LoraScales(config);
        for (const path of paths) scales.of(path);
      },
      (error: unknown) =>
        error instanceof UsageError && /take more than 30 million steps/.test(error.message),
    );
  }
  for (const option of ["targetModules", "excludeModules"]) {
    const config = resolveLoraConfig({ targetModules: ["q_proj"], [option]: heavy });
    assert.throws(
      () => matchTargets(layers(9000), config, lora),
      /take more than 30 million steps/,
    );
  }
  assert.ok(performance.now() - started < 30_000);
});

test("patterns of more letters than any adapter has are refused before they are compiled", () => {
  const rankPattern = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`${i}${"a".repeat(900)}`, 1]),
  );
  assert.throws(
    () => resolveLoraConfig({ rankPattern }),
    /^rankPattern holds patterns of more than 500000 letters together/,
  );
});

test("a rank for every module of a large model is no large task", () => {
  const modules = layers(1500);
  const rankPattern = Object.fromEntries(modules.map(({ path }, i) => [path, 1 + (i % 64)]));
  const options = { targetModules: modules.map(({ path }) => path), rankPattern };
  const config = resolveLoraConfig(options);
  const { paths, warnings } = matchTargets(modules, config, lora);
  const scales = new LoraScales(config);
  // The dot of "layers.1.q_proj" is any character, but no path differs in one alone.
  assert.equal(
    paths.map((path) => scales.of(path).r),
    modules.map((_, i) => 1 + (i % 64)),
  );
  assert.equal(warnings, []);
});

test("a hundred thousand names are looked up, not tried one after the other", () => {
  const modules = layers(100_000);
  const names = modules.map(({ path }) => path);
  const { paths, warnings } = matchTargets(
    modules,
    resolveLoraConfig({ targetModules: [...names, ...names.map((name) => `${name}x`)] }),
    lora,
  );
  assert.is(paths.length, 100_000);
  assert.is(warnings.length, 21);
  assert.match(
    warnings[0]!,
    /^100000 names of targetModules match no module; these are the first 20/,
  );
});

test.run();
