import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
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
import {
  eventsOf,
  type Finished,
  lastEvent,
  lowrank,
  type RunOptions,
} from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const STEPS = 120;
const root = mkdtempSync(join(tmpdir(), "lowrank-resume-"));
const model = join(root, "model");
const text = join(root, "text.txt");
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

const options = [
  ...["--model", model, "--data", text, "--batch-size", "2", "--block-size", "32", "--seed", "3"],
  ...["--steps", String(STEPS), "--dropout", "0.1", "--accumulate", "2"],
];

function start(out: string, words: readonly string[], run: RunOptions = {}): Promise<Finished> {
  const process = ["--json", "--max-new-tokens", "0", "--checkpoint-every", "7"];
  return lowrank(["train", ...options, ...process, "--out", join(root, out), ...words], run);
}

/** Resuming needs no option but the directory. */
function resume(
  out: string,
  words: readonly string[] = [],
  run: RunOptions = {},
): Promise<Finished> {
  const process = ["--json", "--max-new-tokens", "0", "--checkpoint-every", "7"];
  return lowrank(["train", "--resume", ...process, "--out", join(root, out), ...words], run);
}

const adapterOf = (out: string) =>
  createHash("sha256")
    .update(readFileSync(join(root, out, "adapter/adapter_model.safetensors")))
    .digest("hex");

let uninterrupted: Readonly<Record<string, unknown>> = {};

test("a run that nothing stops ends with its own result", async () => {
  const result = await start("whole", []);
  assert.is(result.code, 0, result.stderr);
  uninterrupted = lastEvent(result);
  assert.is(uninterrupted["adapterSha256"], adapterOf("whole"));
});

test("evaluations on the way are reported and change no bit", async () => {
  const result = await start("watched", ["--eval-every", "11"]);
  assert.is(result.code, 0, result.stderr);
  const evaluations = eventsOf(result).filter(({ event }) => event === "evaluation");
  const steps = Array.from({ length: Math.ceil(STEPS / 11) - 1 }, (_, i) => 11 * (i + 1));
  assert.equal(
    evaluations.map(({ when, step }) => step ?? when),
    ["before", ...steps, "after"],
  );
  assert.is(new Set(evaluations.map(({ loss }) => loss)).size, evaluations.length);
  assert.is(lastEvent(result)["adapterSha256"], uninterrupted["adapterSha256"]);
});

test("Ctrl-C ends with exit code 130, a state and the command that goes on; resumed, the run gives the same bits", async () => {
  const interrupt = { step: 20, signal: "SIGINT" } as const;
  const stopped = await start("stopped", [], { interrupt });
  assert.is(stopped.code, 130, stopped.stderr);
  const last = lastEvent(stopped);
  assert.is(last.event, "interrupted");
  assert.ok(Number(last["step"]) >= 20 && Number(last["step"]) < STEPS);
  assert.match(String(last["resume"]), `main.js train --out ${join(root, "stopped")} --resume`);
  assert.ok(existsSync(String(last["checkpoint"])));
  assert.is(existsSync(join(root, "stopped/adapter")), false);

  const resumed = await resume("stopped");
  assert.is(resumed.code, 0, resumed.stderr);
  const event = eventsOf(resumed).find((candidate) => candidate.event === "resumed");
  assert.is(event?.["step"], last["step"]);
  const done = lastEvent(resumed);
  for (const key of ["adapterSha256", "lossBefore", "lossAfter"])
    assert.is(done[key], uninterrupted[key]);
});

test("killed at random steps and resumed each time, the run gives the same bits", async () => {
  let result = await start("killed", [], { interrupt: { step: randomStep(1), signal: "SIGKILL" } });
  let kills = 1;
  while (kills < 3 && result.signal === "SIGKILL") {
    const from = Number(/state-(\d+)/.exec(newest("killed"))?.[1]);
    const interrupt = { step: randomStep(from + 1), signal: "SIGKILL" } as const;
    result = await resume("killed", [], { interrupt });
    kills++;
  }
  if (result.signal === "SIGKILL") result = await resume("killed");
  assert.is(result.code, 0, result.stderr);
  assert.is(lastEvent(result)["adapterSha256"], uninterrupted["adapterSha256"]);
});

function randomStep(from: number): number {
  return from + Math.floor(Math.random() * (STEPS - from) * 0.7);
}

function newest(out: string): string {
  const states = readdirSync(join(root, out, "checkpoint")).filter(
    (name) => name.startsWith("state-") && name.endsWith(".bin"),
  );
  const sorted = states.sort((a, b) => Number(/\d+/.exec(b)?.[0]) - Number(/\d+/.exec(a)?.[0]));
  return sorted[0] ?? "";
}

test("only the last two states are kept, and a run that has ended can be resumed to the same result", async () => {
  const states = readdirSync(join(root, "whole/checkpoint")).filter((name) =>
    name.startsWith("state-"),
  );
  assert.equal(states.sort(), ["state-119.bin", "state-120.bin"]);
  const again = await resume("whole");
  assert.is(again.code, 0, again.stderr);
  assert.is(lastEvent(again)["adapterSha256"], uninterrupted["adapterSha256"]);
});

test("a damaged newest state is skipped, said so, and the one before gives the same bits", async () => {
  const damages: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array])[] = [
    ["cut", (bytes) => bytes.subarray(0, bytes.length - 100)],
    ["flipped", (bytes) => bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte))],
    ["empty", () => new Uint8Array(0)],
  ];
  for (const [name, damage] of damages) {
    cpSync(join(root, "whole"), join(root, name), { recursive: true });
    const path = join(root, name, "checkpoint/state-120.bin");
    writeFileSync(path, damage(readFileSync(path)));
    const result = await resume(name);
    assert.is(result.code, 0, result.stderr);
    const event = eventsOf(result).find((candidate) => candidate.event === "resumed");
    assert.is(event?.["step"], 119);
    assert.match(JSON.stringify(event?.["skipped"]), "state-120.bin");
    assert.is(lastEvent(result)["adapterSha256"], uninterrupted["adapterSha256"]);
  }
});

test("when no state is whole, resuming is an error that lists them", async () => {
  cpSync(join(root, "whole"), join(root, "ruined"), { recursive: true });
  for (const state of ["state-119.bin", "state-120.bin"]) {
    writeFileSync(join(root, "ruined/checkpoint", state), "LOWRANK1");
  }
  const { code, stderr } = await resume("ruined");
  assert.is(code, 1);
  assert.match(stderr, /state-120\.bin[\s\S]*state-119\.bin/);
});

test("resuming with other options is wrong usage that names them; the same ones may be repeated", async () => {
  const other = await resume("whole", ["--r", "4", "--seed", "3"]);
  assert.is(other.code, 2);
  assert.match(other.stderr, /--r was 8/);
  assert.not.match(other.stderr, /--seed/);
  const same = await resume("whole", options);
  assert.is(same.code, 0, same.stderr);
});

test("resuming over another model or another text is an error that says which", async () => {
  writeTinyModel(join(root, "other"), { seed: 1 });
  const otherModel = await resume("whole", ["--model", join(root, "other")]);
  assert.is(otherModel.code, 1);
  assert.match(otherModel.stderr, /the model's weights changed/);
  const changed = join(root, "changed.txt");
  writeFileSync(changed, bundledText().slice(0, 20000).replace("Jesus", "James"));
  const otherText = await resume("whole", ["--data", changed]);
  assert.is(otherText.code, 1);
  assert.match(otherText.stderr, /the text changed/);
});

test("without a checkpoint there is nothing to resume", async () => {
  const { code, stderr } = await resume("nowhere");
  assert.is(code, 1);
  assert.match(stderr, /no checkpoint/);
  assert.is(existsSync(join(root, "nowhere")), false);
});

test("a loss that is no number stops the run, names the step and keeps the last good state", async () => {
  const words = ["--lr", "1e30", "--warmup", "2", "--checkpoint-every", "1"];
  const result = await start("diverged", words);
  assert.is(result.code, 1);
  const error = lastEvent(result);
  assert.is(error.event, "error");
  // The rate is 0 in the first step; the second one ruins the weights, and the third one finds out.
  assert.is(error["step"], 3);
  assert.match(String(error["message"]), /step 3: the (loss|gradient norm) is/);
  const good = join(root, "diverged/checkpoint/state-1.bin");
  assert.is(error["checkpoint"], good);
  assert.match(result.stderr, good);
  assert.match(
    result.stderr,
    `main.js train --out ${join(root, "diverged")} --resume and a lower --lr`,
  );
  assert.not.match(result.stderr, /\n {4}at /);
  const inspected = await lowrank(["inspect", good, "--json"]);
  assert.is(lastEvent(inspected)["kind"], "checkpoint");
  assert.is(existsSync(join(root, "diverged/adapter")), false);
});

test("a run whose loss was no number goes on from its last good state with a lower --lr, which it keeps", async () => {
  const good = join(root, "diverged/checkpoint/state-1.bin");
  // The newer state, whose weights are ruined, is gone.
  assert.equal(newest("diverged"), "state-1.bin");
  const again = await resume("diverged");
  assert.is(lastEvent(again)["step"], 3);
  assert.match(String(lastEvent(again)["message"]), /--resume and a lower --lr/);
  const interrupt = { step: 9, signal: "SIGINT" } as const;
  const lower = await resume("diverged", ["--lr", "1e-3"], { interrupt });
  assert.is(lower.code, 130, lower.stderr);
  const events = eventsOf(lower);
  assert.is(events.find(({ event }) => event === "resumed")?.["checkpoint"], good);
  assert.match(lower.stdout, /"warning".*--lr=0\.001/);
  const kept = await resume("diverged");
  assert.is(kept.code, 0, kept.stderr);
  assert.not.match(kept.stdout, /"warning"/);
  const rates = eventsOf(kept).filter(({ event }) => event === "step");
  assert.ok(rates.length > 100 && rates.every(({ lr }) => Number(lr) <= 1e-3));
});

test("SIGTERM, and SIGHUP of a terminal that closes, stop a run as Ctrl-C does, with exit codes of their own", async () => {
  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    const stopped = await start(signal, [], { interrupt: { step: 2, signal } });
    assert.is(stopped.signal, null);
    assert.is(stopped.code, code);
    const last = lastEvent(stopped);
    assert.equal([last.event, last["signal"]], ["interrupted", signal]);
    assert.ok(existsSync(String(last["checkpoint"])));
  }
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
