import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { eventsOf, lastEvent, lowrank, lowrankHere } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = mkdtempSync(join(tmpdir(), "lowrank-tools-"));
const model = join(root, "model");
const text = join(root, "text.txt");
const out = join(root, "out");
const adapter = join(out, "adapter");
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

const at = ["--model", model];
const data = ["--data", text, "--block-size", "32", "--batch-size", "3"];
let trained: Readonly<Record<string, unknown>> = {};

test.before(async () => {
  // A high rate, so that 20 steps change what a random model writes.
  const shape = ["--rslora", "--r", "4", "--alpha", "6", "--targets", "q_proj,down_proj"];
  const words = ["--steps", "20", "--lr", "0.5", ...shape];
  const run = await lowrank(["train", ...at, ...data, ...words, "--out", out, "--json"]);
  assert.is(run.code, 0, run.stderr);
  trained = lastEvent(run);
});

test("eval gives the losses that train gave, without and with the adapter", async () => {
  const base = await lowrankHere(["eval", ...at, ...data, "--json"]);
  assert.is(base.code, 0, base.stderr);
  assert.is(lastEvent(base)["loss"], trained["lossBefore"]);
  const tuned = await lowrankHere(["eval", ...at, ...data, "--adapter", adapter, "--json"]);
  assert.is(tuned.code, 0, tuned.stderr);
  assert.is(lastEvent(tuned)["loss"], trained["lossAfter"]);
});

test("the merged model that train saved evaluates as model and adapter do, but for rounding", async () => {
  const merged = await lowrankHere(["eval", "--model", join(out, "merged"), ...data, "--json"]);
  assert.is(merged.code, 0, merged.stderr);
  const difference = Math.abs(Number(lastEvent(merged)["loss"]) - Number(trained["lossAfter"]));
  // A change of every logit by d changes a log-softmax by at most 2 d.
  assert.ok(difference <= 2 * Number(trained["mergeDifference"]) + 1e-7, String(difference));
});

test("eval --all takes every token but the first, and its figures fit together", async () => {
  const result = await lowrankHere(["eval", ...at, ...data, "--all", "--json"]);
  assert.is(result.code, 0, result.stderr);
  const evaluation = lastEvent(result);
  const { loss, perplexity, tokens, bytes, bitsPerByte } = evaluation as unknown as Record<
    string,
    number
  >;
  assert.is(bytes, 20000);
  assert.ok(Math.abs((perplexity ?? 0) / Math.exp(loss ?? 0) - 1) < 1e-12);
  const bits = ((loss ?? 0) * (tokens ?? 0)) / Math.LN2 / 20000;
  assert.ok(Math.abs((bitsPerByte ?? 0) / bits - 1) < 1e-12);
  const ids = await lowrankHere(["eval", ...at, ...data, "--all", "--json", "--block-size", "50"]);
  assert.is(lastEvent(ids)["tokens"], tokens);
});

test("eval in words names model, text, loss, perplexity and bits", async () => {
  const { code, stdout } = await lowrankHere(["eval", ...at, ...data, "--adapter", adapter]);
  assert.is(code, 0);
  for (const label of ["Model", "Adapter", "Text", "Loss", "Perplexity", "Bits", "Time"]) {
    assert.match(stdout, new RegExp(`^ {2}${label} `, "m"));
  }
});

test("generate writes prompt and text to standard output and the speed to standard error", async () => {
  const words = ["generate", ...at, "--prompt", "And Jesus", "--max-new-tokens", "30"];
  const first = await lowrank(words);
  assert.is(first.code, 0, first.stderr);
  assert.ok(first.stdout.startsWith("And Jesus"));
  assert.match(first.stderr, /tokens? in .* a second/);
  const again = await lowrank(words);
  assert.is(again.stdout, first.stdout);
  const other = await lowrank([...words, "--seed", "2"]);
  assert.is.not(other.stdout, first.stdout);
  const tuned = await lowrank([...words, "--adapter", adapter]);
  assert.is.not(tuned.stdout, first.stdout);
});

test("generate --json gives a token a line, whose pieces are the whole text", async () => {
  const result = await lowrank([
    "generate",
    ...at,
    "--prompt",
    "And",
    "--max-new-tokens",
    "25",
    "--json",
  ]);
  assert.is(result.code, 0, result.stderr);
  const pieces = eventsOf(result).filter(({ event }) => event === "token");
  const done = lastEvent(result);
  assert.is(done.event, "done");
  assert.is(pieces.map(({ text: piece }) => piece).join(""), done["text"]);
  assert.ok(pieces.filter(({ token }) => token !== null).length === done["tokens"]);
});

test("the likeliest tokens do not depend on the seed", async () => {
  const words = [
    "generate",
    ...at,
    "--prompt",
    "And",
    "--temperature",
    "0",
    "--max-new-tokens",
    "15",
  ];
  const one = await lowrank([...words, "--seed", "1"]);
  const two = await lowrank([...words, "--seed", "2"]);
  assert.is(one.stdout, two.stdout);
});

test("merge writes the model that train has merged, byte for byte, and leaves the base alone", async () => {
  const target = join(root, "merged");
  const before = readFileSync(join(model, "model.safetensors"));
  const result = await lowrank(["merge", ...at, "--adapter", adapter, "--out", target, "--json"]);
  assert.is(result.code, 0, result.stderr);
  assert.is(lastEvent(result)["dtype"], "F32");
  for (const file of ["config.json", "model.safetensors", "tokenizer.json"]) {
    assert.equal(readFileSync(join(target, file)), readFileSync(join(out, "merged", file)), file);
  }
  assert.equal(readFileSync(join(model, "model.safetensors")), before);
});

test("merge stores weights in 16 bits when asked, and replaces a model when told to", async () => {
  const target = join(root, "half");
  for (const dtype of ["BF16", "F16"]) {
    const result = await lowrank([
      "merge",
      ...at,
      "--adapter",
      adapter,
      "--out",
      target,
      "--overwrite",
      "--dtype",
      dtype,
    ]);
    assert.is(result.code, 0, result.stderr);
    const inspected = await lowrankHere(["inspect", target, "--json"]);
    const { tensors, parameters, bytes } = lastEvent(inspected) as unknown as {
      tensors: { dtype: string }[];
      parameters: number;
      bytes: number;
    };
    assert.ok(tensors.every((tensor) => tensor.dtype === dtype));
    assert.is(bytes, 2 * parameters);
  }
});

test("merge refuses the model's own directory and a directory with something else", async () => {
  const own = await lowrank(["merge", ...at, "--adapter", adapter, "--out", model]);
  assert.is(own.code, 2);
  assert.match(own.stderr, "the model itself");
  const foreign = await lowrank(["merge", ...at, "--adapter", adapter, "--out", root]);
  assert.is(foreign.code, 1);
  assert.match(foreign.stderr, "already holds something else");
});

test("inspect finds out what it looks at", async () => {
  const kinds: readonly (readonly [string, string])[] = [
    [model, "model"],
    [join(model, "config.json"), "model"],
    [adapter, "adapter"],
    [join(adapter, "adapter_model.safetensors"), "safetensors"],
    [join(model, "model.safetensors"), "safetensors"],
    [join(out, "checkpoint/state-20.bin"), "checkpoint"],
  ];
  for (const [path, kind] of kinds) {
    const result = await lowrankHere(["inspect", path, "--json"]);
    assert.is(result.code, 0, result.stderr);
    assert.is(lastEvent(result)["kind"], kind);
    const words = await lowrankHere(["inspect", path]);
    assert.is(words.code, 0);
    assert.match(words.stdout, /In all +\d+ tensors/);
  }
});

test("inspect shows an adapter's rank, effective scale and targets", async () => {
  const { stdout } = await lowrankHere(["inspect", "--adapter", adapter]);
  // alpha / sqrt(r) = 6 / 2.
  assert.match(stdout, /Rank +r 4, alpha 6, scale 3\n/);
  assert.match(stdout, /Targets +4 layers: down_proj, q_proj/);
  assert.match(stdout, "model.layers.{0-1}.mlp.down_proj.lora_A.weight");
  assert.match(
    (await lowrankHere(["inspect", adapter, "--tensors"])).stdout,
    "layers.1.mlp.down_proj.lora_B",
  );
});

test("inspect says where to look when a directory holds neither", async () => {
  const { code, stderr } = await lowrankHere(["inspect", out]);
  assert.is(code, 1);
  assert.match(stderr, `Did you mean ${adapter}?`);
  assert.ok(existsSync(adapter));
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
