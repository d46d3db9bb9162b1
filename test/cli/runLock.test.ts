// One run at a time in a place, and no lock that a process leaves behind.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PlaceHeldError, takeLock } from "../../src/cli/runLock.ts";
import { lastEvent, lowrank, type RunOptions } from "../support/command.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const path = temporaryPaths("lowrank-lock");
const lockModule = new URL("../../src/cli/runLock.js", import.meta.url).href;

/** A free place with the lock file of a process. */
function lockedBy(holder: Readonly<Record<string, unknown>> | string): string {
  const directory = path();
  mkdirSync(directory);
  const text = typeof holder === "string" ? holder : JSON.stringify(holder);
  writeFileSync(join(directory, "lock-1"), text);
  return directory;
}

/** What a lock of this process says. */
function ownHolder(): Record<string, unknown> {
  const directory = path();
  const lock = takeLock(directory);
  const text = readFileSync(join(directory, "lock-1"), "utf8");
  lock.release();
  return JSON.parse(text) as Record<string, unknown>;
}

const isLinux = existsSync("/proc/self/stat");

test("a lock is there while it is held and gone after that", () => {
  const directory = path();
  const lock = takeLock(directory);
  assert.equal(readdirSync(directory), ["lock-1"]);
  assert.throws(
    () => takeLock(directory),
    (error: Error) =>
      error instanceof PlaceHeldError && error.message.includes(`process ${process.pid} `),
  );
  lock.release();
  assert.equal(readdirSync(directory), []);
  takeLock(directory).release();
});

test("a process that has ended holds nothing", () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  const directory = lockedBy({ ...ownHolder(), pid, started: null });
  const lock = takeLock(directory);
  assert.equal(readdirSync(directory), ["lock-2"]);
  lock.release();
});

test("a process that got the number of one that has ended does not hold its lock", () => {
  if (!isLinux) return;
  const own = ownHolder();
  assert.type(own["started"], "string");
  takeLock(lockedBy({ ...own, started: "1" })).release();
  assert.throws(() => takeLock(lockedBy(own)), "Another run is writing");
  // Where nothing is known of the start, the sentence says how to go on.
  assert.throws(() => takeLock(lockedBy({ ...own, started: null })), "If it has ended, remove");
});

test("a process that has ended, but that its parent has not waited for, holds nothing", () => {
  if (!isLinux) return;
  // The shell becomes a program that knows nothing of the child it inherits.
  const script = "sleep 0 & echo $!; exec sleep 30";
  const parent = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
  return new Promise<void>((resolve, reject) => {
    parent.stdout.once("data", (data: Buffer) => {
      const pid = Number(String(data));
      setTimeout(() => {
        try {
          assert.match(readFileSync(`/proc/${pid}/stat`, "utf8"), /\) Z /);
          takeLock(lockedBy({ ...ownHolder(), pid, started: null })).release();
          resolve();
        } catch (error) {
          reject(error);
        } finally {
          parent.kill();
        }
      }, 500);
    });
  });
});

test("a process of another host, or of another container, keeps its lock; the sentence says what to do", () => {
  for (const elsewhere of [{ host: "elsewhere" }, { namespace: "pid:[1]" }]) {
    if (!isLinux && elsewhere.host === undefined) continue;
    const directory = lockedBy({ ...ownHolder(), pid: 7, ...elsewhere });
    const file = join(directory, "lock-1");
    const host = elsewhere.host ?? hostname();
    assert.throws(
      () => takeLock(directory),
      (error: Error) => error.message.includes(host) && error.message.includes(`remove "${file}"`),
    );
    assert.equal(readdirSync(directory), ["lock-1"]);
  }
});

test("a lock file that says nothing, as a crash may leave it, holds nothing", () => {
  for (const text of ["", "{", "[]", "null", '{"pid":0}', '{"pid":-1,"host":""}']) {
    takeLock(lockedBy(text)).release();
  }
});

test("of many processes that find a lock of a dead one, exactly one gets it", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  const dead = { ...ownHolder(), pid, started: null };
  for (let round = 0; round < 2; round++) {
    const directory = lockedBy(dead);
    const start = Date.now() + 1500;
    const script = `
      const { takeLock } = await import(${JSON.stringify(lockModule)});
      while (Date.now() < ${start});
      try { takeLock(${JSON.stringify(directory)}); console.log("taken"); } catch { console.log("held"); }
      await new Promise((resolve) => setTimeout(resolve, 1500));`;
    const outputs = await Promise.all(
      Array.from({ length: 6 }, () => {
        const words = ["--input-type=module", "-e", script];
        const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
        let output = "";
        child.stdout.on("data", (data: Buffer) => {
          output += data;
        });
        return new Promise<string>((resolve) => child.on("close", () => resolve(output.trim())));
      }),
    );
    assert.equal(outputs.sort(), ["held", "held", "held", "held", "held", "taken"]);
  }
});

const model = path();
const text = path();
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));
const options = [
  ...["train", "--model", model, "--data", text, "--batch-size", "2", "--block-size", "32"],
  ...["--json", "--max-new-tokens", "0", "--threads", "1", "--checkpoint-every", "1"],
];

test("a second run into the place of one that runs is refused, with --resume and --overwrite as well", async () => {
  const out = path();
  const words = [...options, "--steps", "100000", "--out", out];
  const first = spawn(process.execPath, [main(), ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve) => {
    let output = "";
    first.stdout.on("data", (data: Buffer) => {
      output += data;
      if (output.includes('"step":3,')) resolve();
    });
  });
  for (const more of [[], ["--overwrite"], ["--resume"]]) {
    const second = await lowrank(["train", "--json", "--out", out, ...more]);
    assert.is(second.code, 1);
    assert.match(second.stderr, `process ${first.pid} `);
    assert.is(lastEvent(second).event, "error");
  }
  first.kill("SIGTERM");
  await new Promise<void>((resolve) => first.on("close", () => resolve()));
  assert.is(first.exitCode, 143);
  assert.not.match(readdirSync(join(out, "checkpoint")).join(), "lock");
});

test("a run that was killed holds nothing: it is resumed as if it had no lock", async () => {
  const out = path();
  const interrupt: RunOptions["interrupt"] = { step: 3, signal: "SIGKILL" };
  const killed = await lowrank([...options, "--steps", "40", "--out", out], { interrupt });
  assert.is(killed.signal, "SIGKILL");
  assert.match(readdirSync(join(out, "checkpoint")).join(), "lock-1");
  const resumed = await lowrank(["train", "--json", "--resume", "--out", out]);
  assert.is(resumed.code, 0, resumed.stderr);
  assert.not.match(readdirSync(join(out, "checkpoint")).join(), "lock");
});

function main(): string {
  return fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
}

test.run();
