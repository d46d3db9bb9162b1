// Errors and remarks of the command speak of flags, those about a file of its keys.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { resolveLoraConfig } from "../../src/adapters/loraConfig.ts";
import { evalCommand } from "../../src/cli/eval.ts";
import { generateCommand } from "../../src/cli/generate.ts";
import { flagOf, flagWording } from "../../src/cli/option.ts";
import { trainCommand } from "../../src/cli/train.ts";
import { FormatError, LowrankError } from "../../src/core/error.ts";
import { inWordsOf } from "../../src/core/wording.ts";
import { checkOptions } from "../../src/data/dataset.ts";
import { parsePeftConfig } from "../../src/io/peft-config.ts";
import { checkSampling } from "../../src/train/sample.ts";
import { makeSchedule, settingsOf } from "../../src/train/settings.ts";
import { codeOf, filesIn, read } from "../house/source.ts";
import { lowrankHere } from "../support/command.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { writeTinyModel } from "../support/tinyModel.ts";

const place = temporaryPaths("lowrank-wording");
const model = place();
writeTinyModel(model);

/** Options whose names the library and the command spell differently. */
const camelCase = [trainCommand, evalCommand, generateCommand].flatMap(({ options }) =>
  Object.entries(options)
    .map(([key, { sets = key }]) => sets)
    .filter((name) => /[A-Z]/.test(name)),
);

function expectNoCamelCase(message: string): void {
  for (const name of camelCase) assert.not.match(message, new RegExp(`\\b${name}\\b`), message);
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.instance(error, LowrankError);
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}

test("the table of the command says which options of the library it sets", () => {
  for (const name of ["targetModules", "loraAlpha", "gradientAccumulation", "blockSize", "topK"]) {
    assert.ok(camelCase.includes(name), name);
  }
});

test("no sentence of the library spells an option's name itself: it asks what it is called", () => {
  const spelled = new RegExp(`\\b(?:${camelCase.join("|")})\\b`, "g");
  const found = filesIn("src", ".ts")
    .filter((path) => !/^src\/(?:cli|reference)\//.test(path))
    .flatMap((path) => {
      const text = read(path);
      const code = codeOf(text);
      return [...text.matchAll(spelled)]
        .filter(({ 0: name, index }) => {
          const line = text.slice(text.lastIndexOf("\n", index) + 1, index);
          if (/^\s*(?:\/?\*|\/\/)|\/\/ |\bfrom "/.test(line)) return false;
          // Comments and the names of files say nothing to a user. What is code is no literal, and a literal of the name alone asks for it, or is a key.
          const isAlone = /["']/.test(text[index - 1]!) && /["']/.test(text[index + name.length]!);
          return code.slice(index, index + name.length) !== name && !isAlone;
        })
        .map(({ 0: name }) => `${path}: ${name}`);
    });
  assert.equal(found, []);
});

test("whatever check of the library refuses a value, the command's error names the flag", () => {
  const refusing: readonly (readonly [string, unknown, (key: string, value: unknown) => void])[] = [
    ...["r", "loraAlpha", "loraDropout", "targetModules", "excludeModules", "useRslora"].map(
      (key) =>
        [key, {}, (at: string, value: unknown) => resolveLoraConfig({ [at]: value })] as const,
    ),
    ["targetModules", "(", (at, value) => resolveLoraConfig({ [at]: value as string })],
    [
      "targetModules",
      "x".repeat(2000),
      (at, value) => resolveLoraConfig({ [at]: value as string }),
    ],
    ["targetModules", [], (at, value) => resolveLoraConfig({ [at]: value as string[] })],
    ...[
      "steps",
      "warmupSteps",
      "gradientAccumulation",
      "maxGradNorm",
      "gradientCheckpointing",
      "full",
      "seed",
    ].map(
      (key) =>
        [key, "x", (at: string, value: unknown) => settingsOf({ steps: 1, [at]: value })] as const,
    ),
    ["schedule", "x", (at, value) => makeSchedule(settingsOf({ steps: 1, [at]: value }))],
    ...["batchSize", "blockSize", "seed", "validation"].map(
      (key) =>
        [
          key,
          -1,
          (at: string, value: unknown) => checkOptions({ batchSize: 1, blockSize: 1, [at]: value }),
        ] as const,
    ),
  ];
  for (const [key, value, check] of refusing) {
    const message = messageOf(() =>
      inWordsOf(flagWording(trainCommand.options), () => check(key, value)),
    );
    const [name] = Object.entries(trainCommand.options).find(
      ([own, { sets = own }]) => sets === key,
    )!;
    assert.ok(message.includes(flagOf(name)), message);
    expectNoCamelCase(message);
  }
  for (const key of ["temperature", "topK", "topP"]) {
    const message = messageOf(() =>
      inWordsOf(flagWording(generateCommand.options), () => checkSampling({ [key]: "x" as never })),
    );
    assert.ok(message.startsWith(flagOf(key)), message);
  }
});

test("errors and remarks of runs name flags", async () => {
  const short = join(place(), "short.txt");
  mkdirSync(join(short, ".."));
  writeFileSync(short, "A short text.\n".repeat(4));
  const runs: readonly (readonly [readonly string[], RegExp])[] = [
    [["train", "--targets", "q_porj"], /--targets \["q_porj"\] matches no module/],
    [["train", "--targets", "^.*(", "--steps", "1"], /--targets is the pattern/],
    [["train", "--targets", "^.*norm"], /--targets ".*norm" also matches/],
    [
      ["train", "--targets", "q_proj,k_porj", "--steps", "1"],
      /--targets "k_porj" matches no module/,
    ],
    [
      ["train", "--exclude", "lm_haed", "--steps", "1"],
      /--exclude \["lm_haed"\] excludes no module/,
    ],
    [["train", "--data", short], /a smaller --block-size/],
    [["eval", "--data", short, "--block-size", "120"], /--block-size/],
  ];
  for (const [words, reason] of runs) {
    const more = words[0] === "train" ? ["--out", place(), "--max-new-tokens", "0"] : [];
    const { stdout, stderr } = await lowrankHere([...words, "--model", model, ...more]);
    assert.match(stdout + stderr, reason);
    expectNoCamelCase(stdout + stderr);
  }
});

test("the command that a run proposes for generating begins with words of the run's text", async () => {
  const data = join(place(), "log.txt");
  mkdirSync(join(data, ".."));
  writeFileSync(data, "The keeper lit the lamp at dusk, and it burned.\n".repeat(60));
  const words = ["train", "--model", model, "--data", data, "--steps", "1", "--block-size", "16"];
  const prompt = async (...more: string[]): Promise<string | undefined> => {
    const { code, stdout } = await lowrankHere([...words, "--out", place(), ...more]);
    assert.is(code, 0);
    const line = stdout.split("\n").find((text) => / generate /.test(text)) ?? "";
    return / --prompt (?:'([^']*)'|(\S+))/.exec(line)?.slice(1).join("");
  };
  // Held-out rows begin with a line, or go on in the middle of one.
  const own = (await prompt("--max-new-tokens", "4"))!;
  assert.ok("The keeper lit the lamp at dusk, and it burned.".includes(own) && own.length > 3, own);
  assert.is(await prompt("--max-new-tokens", "4", "--sample-prompt", "At noon"), "At noon");
  assert.is(await prompt("--max-new-tokens", "0"), undefined);
});

test("errors about adapter_config.json name its keys", () => {
  const wrong: Readonly<Record<string, unknown>> = {
    r: -1,
    lora_alpha: "x",
    lora_dropout: 2,
    target_modules: [],
    exclude_modules: 5,
    layers_to_transform: "x",
    layers_pattern: 5,
    rank_pattern: { q_proj: -1 },
    alpha_pattern: [],
    use_rslora: "x",
    bias: "some",
    fan_in_fan_out: 1,
  };
  for (const [key, value] of Object.entries(wrong)) {
    const config = {
      peft_type: "LORA",
      target_modules: ["q_proj"],
      layers_to_transform: [0],
      [key]: value,
    };
    const bytes = new TextEncoder().encode(JSON.stringify(config));
    // Also when a command has words of its own.
    for (const run of [
      () => parsePeftConfig(bytes),
      () => inWordsOf(flagWording(trainCommand.options), () => parsePeftConfig(bytes)),
    ]) {
      try {
        run();
        assert.unreachable(key);
      } catch (error) {
        assert.instance(error, FormatError);
        const { message } = error as Error;
        assert.match(message, new RegExp(`\\b${key}\\b`));
        assert.not.match(message, /\b[a-z]+[A-Z]\w*\b|--/, message);
      }
    }
  }
});

test.run();
