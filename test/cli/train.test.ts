import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { eventsOf, type Finished, firstEvent, lastEvent, lowrank } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = mkdtempSync(join(tmpdir(), "lowrank-train-"));
const model = join(root, "model");
const text = join(root, "text.txt");
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

const common = ["--model", model, "--data", text, "--batch-size", "2", "--block-size", "32"];

/** A short run into a directory of its own below the root. */
function train(out: string, ...words: string[]): Promise<Finished> {
  return lowrank(["train", ...common, "--steps", "12", "--out", join(root, out), ...words]);
}

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

test("train reports every step and ends with the numbers of the run", async () => {
  const result = await train("json", "--json", "--seed", "7");
  assert.is(result.code, 0, result.stderr);
  const events = eventsOf(result);
  const steps = events.filter(({ event }) => event === "step");
  assert.equal(
    steps.map(({ step }) => step),
    Array.from({ length: 12 }, (_, i) => i + 1),
  );
  for (const key of ["loss", "lr", "tokensPerSecond", "secondsLeft"]) {
    assert.ok(
      steps.every((step) => typeof step[key] === "number"),
      key,
    );
  }
  const done = lastEvent(result);
  assert.is(done.event, "done");
  assert.is(done["steps"], 12);
  assert.is(done["seed"], 7);
  assert.ok(Number(done["tokensPerSecond"]) > 0);
  const evaluations = events.filter(({ event }) => event === "evaluation");
  assert.is(evaluations[0]?.["loss"], done["lossBefore"]);
  assert.is(evaluations[1]?.["loss"], done["lossAfter"]);
  assert.ok(Number(done["lossAfter"]) < Number(done["lossBefore"]));
  assert.is(done["adapterSha256"], sha256(join(root, "json/adapter/adapter_model.safetensors")));
  assert.ok(Number(done["mergeDifference"]) > 0 && Number(done["mergeDifference"]) < 1e-4);
});

test("train leaves an adapter as PEFT writes it, a merged model and two checkpoints", () => {
  const names = (directory: string) => readdirSync(join(root, "json", directory)).sort();
  assert.equal(names("adapter"), ["adapter_config.json", "adapter_model.safetensors"]);
  assert.equal(names("merged"), ["config.json", "model.safetensors", "tokenizer.json"]);
  assert.equal(names("checkpoint"), ["run.json", "state-0.bin", "state-12.bin"]);
});

test("the same options give the same adapter, in words as with --json, with one thread as with two", async () => {
  const wanted = sha256(join(root, "json/adapter/adapter_model.safetensors"));
  const words = await train("words", "--seed", "7", "--threads", "1");
  assert.is(words.code, 0, words.stderr);
  assert.is(sha256(join(root, "words/adapter/adapter_model.safetensors")), wanted);
  assert.match(words.stdout, wanted);
});

test("in words, train shows model, adapter, losses, samples, a curve and what to do next", async () => {
  const { code, stdout, stderr } = await train("shown", "--sample-prompt", "And Jesus");
  assert.is(code, 0, stderr);
  assert.is(stderr, "");
  const expected = [
    /Model +.*25,760 parameters/,
    /Adapter +LoRA: r 8, alpha 16, scale 2/,
    /q_proj/,
    /Trains +7,424 of 33,184 parameters \(22\.4 %\)/,
    /Memory/,
    /Before[\s\S]+Held out +loss \d\.\d{4}[\s\S]+│ And Jesus[\s\S]+After[\s\S]+│ And Jesus/,
    /step 12\/12 {2}loss \d\.\d{3} {2}lr .* tok\/s {2}0:00 left/,
    /[\u2801-\u28ff]/,
    /└─+\n +1 +step 12/,
    /Difference +\d\.\de-\d+ at most/,
    /main\.js generate --model .* --adapter .*shown\/adapter --prompt/,
    /main\.js eval .*--data/,
  ];
  for (const pattern of expected) assert.match(stdout, pattern);
  assert.not.match(stdout, "\x1b");
});

test("a directory that holds something else is refused before anything is trained or written", async () => {
  const places: readonly (readonly [string, string])[] = [
    ["foreign", "notes.txt"],
    ["foreign-adapter", "adapter/weights.txt"],
    ["foreign-merged", "merged/README.md"],
    ["foreign-state", "checkpoint/state.bin"],
  ];
  for (const [out, file] of places) {
    mkdirSync(join(root, out, file, ".."), { recursive: true });
    writeFileSync(join(root, out, file), "mine");
    const { code, stdout, stderr } = await train(out, "--json");
    assert.is(code, 1);
    assert.match(stderr, "already holds something else");
    assert.match(stderr, file.slice(file.lastIndexOf("/") + 1));
    assert.not.match(stdout, '"step"');
    assert.is(readFileSync(join(root, out, file), "utf8"), "mine");
    assert.is(existsSync(join(root, out, "checkpoint/run.json")), false);
  }
});

test("an output path that is a file, or below one, is an error before the first step", async () => {
  writeFileSync(join(root, "file"), "mine");
  for (const out of ["file", "file/below"]) {
    const { code, stdout, stderr } = await train(out, "--json");
    assert.is(code, 1);
    assert.match(stderr, /file/);
    assert.not.match(stdout, '"step"');
  }
  assert.is(readFileSync(join(root, "file"), "utf8"), "mine");
});

test("--full trains every weight and saves a model", async () => {
  const result = await train("full", "--json", "--full");
  assert.is(result.code, 0, result.stderr);
  const budget = firstEvent(result)["budget"] as { share: number };
  assert.is(budget.share, 1);
  const done = lastEvent(result);
  assert.is(done["adapterSha256"], null);
  assert.is(done["modelSha256"], sha256(join(root, "full/model/model.safetensors")));
  assert.ok(Number(done["lossAfter"]) < Number(done["lossBefore"]));
});

test("--targets takes names, a pattern and all-linear; --exclude takes away", async () => {
  let runs = 0;
  const layers = async (...words: string[]) => {
    const result = await train(
      `targets-${runs++}`,
      "--json",
      "--steps",
      "1",
      "--max-new-tokens",
      "0",
      ...words,
    );
    assert.is(result.code, 0, result.stderr);
    return (firstEvent(result)["adapter"] as { layers: number }).layers;
  };
  // Two layers, each with q, k, v, o and gate, up, down.
  assert.is(await layers("--targets", "all-linear"), 14);
  assert.is(await layers("--targets", "q_proj,v_proj"), 4);
  assert.is(await layers("--targets", "^model\\.layers\\.0\\..*_proj"), 7);
  assert.is(await layers("--exclude", "q_proj"), 12);
});

test("nothing held out is no error: the losses are null", async () => {
  const result = await train("nothing", "--json", "--validation", "0");
  assert.is(result.code, 0, result.stderr);
  const done = lastEvent(result);
  assert.is(done["lossBefore"], null);
  assert.is(done["lossAfter"], null);
  assert.ok(Number(done["mergeDifference"]) < 1e-4);
});

test("JSON lines with prompt and completion train on the completions", async () => {
  const file = join(root, "pairs.jsonl");
  const verses = bundledText()
    .split("\n")
    .slice(0, 40)
    .filter((verse) => verse !== "");
  const lines = verses.map((verse) =>
    JSON.stringify({ prompt: verse.slice(0, 10), completion: verse.slice(10, 60) }),
  );
  writeFileSync(file, lines.join("\n"));
  const result = await train("pairs", "--json", "--data", file);
  assert.is(result.code, 0, result.stderr);
  const data = firstEvent(result)["data"] as { documents: number };
  assert.is(data.documents, lines.length);

  // The same records in the other forms give the same numbers, in train and in eval.
  const array = join(root, "pairs.JSON");
  writeFileSync(array, `\ufeff[${lines.join(",\n")}]`);
  const other = join(root, "pairs.ndjson");
  writeFileSync(
    other,
    lines.map((line) => line.replace("}", ', "text": null, "x": NaN}')).join("\n"),
  );
  const eventOf = async (words: readonly string[]) => firstEvent(await lowrank(words));
  for (const extra of [[], ["--all"]]) {
    const evaluate = ["eval", "--json", "--model", model, "--block-size", "32", ...extra];
    const expected = await eventOf([...evaluate, "--data", file]);
    assert.type(expected["loss"], "number");
    for (const path of [array, other]) {
      const found = await eventOf([...evaluate, "--data", path]);
      for (const key of ["loss", "tokens", "bytes"]) assert.is(found[key], expected[key], key);
    }
  }
  for (const path of [array, other]) {
    const again = await train(`${path.length} pairs`, "--json", "--data", path, "--steps", "1");
    assert.is(again.code, 0, again.stderr);
    assert.equal((firstEvent(again)["data"] as { documents: number }).documents, lines.length);
  }
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
