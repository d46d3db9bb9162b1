import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { tidyDirectory } from "../../src/core/directory-writer.ts";
import { removeLeftovers } from "../../src/core/leftovers.ts";
import { isLeftover, isTemporaryName, temporaryName } from "../../src/core/temporary.ts";

const root = mkdtempSync(join(tmpdir(), "temporary-"));
test.after(() => rmSync(root, { recursive: true }));
let made = 0;
function fresh(): string {
  const path = join(root, String(made++));
  mkdirSync(path);
  return path;
}

/** A name as another process or machine gives it: lowrank-<host>-<process>-<realm><random>.tmp. */
function nameOf({ host, id }: { host?: string; id?: number | undefined }): string {
  const [word, mine, , rest] = temporaryName().split("-");
  const letters = rest?.replace(/^.{7}/, "0another".slice(0, 7));
  return [word, host ?? mine, id ?? process.pid, letters].join("-");
}

const ended = spawnSync(process.execPath, ["-e", ""]).pid;
const SOON = 1000;
const HOUR = 3_600_000;

test("temporary names are all of one kind, however the file is called, and never the same", () => {
  const names = new Set(Array.from({ length: 100 }, temporaryName));
  assert.is(names.size, 100);
  for (const name of names) {
    assert.ok(isTemporaryName(name));
    assert.ok(name.length < 60);
  }
});

test("a file of a process that is gone is a leftover, that of one that lives is not", () => {
  const now = Date.now();
  // This process writes in one go: whatever it asks about is not being written.
  assert.is(isLeftover(temporaryName(), now), true);
  assert.is(isLeftover(nameOf({ id: ended }), now), true);
  assert.is(isLeftover(nameOf({ id: process.ppid }), now), false);
  // Another thread of this process, and a process before it that had its number.
  assert.is(isLeftover(nameOf({}), now), false);
  assert.is(isLeftover(nameOf({}), now - process.uptime() * 1000 - SOON), true);
});

if (process.platform === "linux") {
  test("a file of a process that nobody has waited for, or that began after it, is a leftover", async () => {
    // The shell's child ends at once, and the program that the shell becomes never asks for it.
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      const [line] = await once(parent.stdout, "data");
      const id = Number(String(line));
      const hasEnded = () => / [ZX] /.test(readFileSync(`/proc/${id}/stat`, "latin1"));
      for (let tries = 0; tries < 200 && !hasEnded(); tries++)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.is(isLeftover(nameOf({ id }), Date.now()), true);
      assert.is(isLeftover(nameOf({ id: parent.pid }), Date.now() + SOON), false);
      assert.is(isLeftover(nameOf({ id: parent.pid }), Date.now() - HOUR), true);
    } finally {
      parent.kill();
    }
  });
}

test("a file of another machine is a leftover when nothing has come for long", () => {
  const name = nameOf({ host: "another" });
  assert.is(isLeftover(name, Date.now() - SOON), false);
  assert.is(isLeftover(name, Date.now() - HOUR), true);
  assert.is(isLeftover(name, undefined), false);
});

test("leftovers go with all that is in them; a user's files and what a link leads to stay", () => {
  const directory = fresh();
  const thesis = join(fresh(), "thesis.txt");
  writeFileSync(thesis, "mine");
  const gone = nameOf({ id: ended });
  mkdirSync(join(directory, gone, "files"), { recursive: true });
  writeFileSync(join(directory, gone, "files", "weights"), "half");
  symlinkSync(join(thesis, ".."), join(directory, gone, "link"));
  symlinkSync(
    join(thesis, ".."),
    join(directory, nameOf({ id: ended }).replace("0anothe", "1anothe")),
  );
  const kept = [
    nameOf({ id: process.ppid }),
    "notes.tmp",
    "lowrank-notes.tmp",
    "thesis.0123456789abcd.tmp",
    `x${gone}`,
    `${gone}.txt`,
  ];
  for (const name of kept) writeFileSync(join(directory, name), "mine");
  removeLeftovers(directory);
  assert.equal(readdirSync(directory).sort(), kept.sort());
  assert.ok(existsSync(thesis));
  removeLeftovers(join(directory, "missing"));
});

test("of the names that version 0.1.0 made only those of the owner's files go", () => {
  const directory = fresh();
  const names = ["state-3.bin.0123456789abcd.tmp", "thesis.txt.0123456789abcd.tmp"];
  for (const name of names) writeFileSync(join(directory, name), "x");
  tidyDirectory(directory);
  assert.equal(readdirSync(directory).sort(), names);
  tidyDirectory(directory, (name) => /^state-\d+\.bin$/.test(name));
  assert.equal(readdirSync(directory), names.slice(1));
});

test.run();
