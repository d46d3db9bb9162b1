import nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { writeDirectory } from "../../src/core/directory-writer.ts";
import { LowrankError } from "../../src/core/error.ts";
import { type FileSystem, fileSystem } from "../../src/core/files.ts";
import {
  currentPath,
  finishPending,
  lookAt,
  PENDING,
  readCurrent,
} from "../../src/core/pending.ts";
import { failingAt, killedAt, noLinks, type Stopping } from "./killed.ts";

const root = nodeFs.mkdtempSync(join(tmpdir(), "pending-"));
test.after(() => nodeFs.rmSync(root, { recursive: true }));
let made = 0;
const fresh = (): string => join(root, String(made++), "out");
const bytes = (text: string) => new TextEncoder().encode(text);
const filesOf = (texts: Record<string, string>) =>
  new Map(Object.entries(texts).map(([name, text]) => [name, bytes(text)]));

const OLD = { config: "old config", weights: "old weights", "weights-1": "shard", index: "shards" };
const NEW = { config: "new", weights: "new weights", tokens: "new tokens" };
const NEXT = { config: "next", weights: "the next weights" };
const options = { owns: (name: string) => /^(config|weights(-\d)?|index|tokens)$/.test(name) };
// A disk that keeps everything at once: hundreds of saves would wait for a real one.
const quick = { fsyncSync: () => undefined };
const save = (
  directory: string,
  texts: Record<string, string>,
  fs: FileSystem = { ...fileSystem(), ...quick },
) => writeDirectory(directory, filesOf(texts), options, fs);

/** A directory with the old files. */
function old(): string {
  const directory = fresh();
  nodeFs.mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(OLD)) nodeFs.writeFileSync(join(directory, name), text);
  return directory;
}

/** What a reader gets. */
function read(directory: string): Record<string, string> {
  const texts = lookAt(directory).names.map((name) => {
    const found = readCurrent(`${directory}/${name}`);
    assert.ok(found !== null, `${name} is listed, but cannot be read`);
    return [name, new TextDecoder().decode(found)] as const;
  });
  // A name that is not listed cannot be read either.
  for (const name of ["weights-1", "index", "tokens"]) {
    if (texts.some(([listed]) => listed === name)) continue;
    assert.is(readCurrent(`${directory}/${name}`), null, name);
  }
  return Object.fromEntries(texts);
}

/** Everything below the directory that holds `directory`. */
const everything = (directory: string): string[] =>
  nodeFs.readdirSync(join(directory, ".."), { recursive: true, encoding: "utf8" }).sort();

/** The directory after a save that was killed at the n-th operation; null when the save came to its end. */
function killed(n: number, base: Partial<FileSystem> = {}): string | null {
  const directory = old();
  nodeFs.writeFileSync(join(directory, "thesis.txt"), "mine");
  const stopping = killedAt(n, base);
  try {
    writeDirectory(directory, filesOf(NEW), { ...options, overwrite: true }, stopping.fs);
  } catch (error) {
    assert.instance(error, LowrankError);
  }
  return stopping.count() > n ? directory : null;
}

const isNew = (texts: Record<string, string>): boolean => texts["config"] === "new";

for (const [name, base] of [
  ["", quick],
  [" without hard links", { ...quick, ...noLinks }],
] as const) {
  test(`killed at any operation of a save${name}: the old files or the new ones, and the next save cleans up`, () => {
    let before = true;
    let n = 0;
    for (; ; n++) {
      const directory = killed(n, base);
      if (directory === null) break;
      const found = read(directory);
      // Once the new files are there, they stay: there is one operation that matters.
      assert.ok(before || isNew(found), `operation ${n}: ${JSON.stringify(found)}`);
      before = !isNew(found);
      const expected = { ...(isNew(found) ? NEW : OLD), "thesis.txt": "mine" };
      assert.equal(found, Object.fromEntries(Object.entries(expected).sort()), `operation ${n}`);
      // Whoever may write finishes the moves, and readers notice nothing; the next save does without.
      if (n % 2 === 0) {
        finishPending(directory, fileSystem());
        assert.equal(read(directory), found, `operation ${n}`);
        for (const [file, text] of isNew(found) ? Object.entries(NEW) : [])
          assert.is(nodeFs.readFileSync(join(directory, file), "utf8"), text);
      }
      writeDirectory(
        directory,
        filesOf(NEXT),
        { ...options, overwrite: true },
        { ...fileSystem(), ...quick },
      );
      assert.equal(read(directory), { ...NEXT, "thesis.txt": "mine" }, `operation ${n}`);
      const paths = ["out", "out/config", "out/thesis.txt", "out/weights"];
      assert.equal(everything(directory), paths, `operation ${n}`);
    }
    assert.is(before, false);
    assert.ok(n > 40, `a save has ${n} operations`);
  });

  test(`where any one operation of a save fails${name}, the old files or the new ones are there`, () => {
    for (let n = 0; ; n++) {
      const directory = old();
      const stopping: Stopping = failingAt(n, base);
      let failed = false;
      try {
        save(directory, NEW, stopping.fs);
      } catch (error) {
        assert.instance(error, LowrankError);
        failed = true;
      }
      const found = read(directory);
      const expected: Record<string, string> = isNew(found) ? NEW : OLD;
      assert.equal(found, Object.fromEntries(Object.entries(expected).sort()), `operation ${n}`);
      assert.ok(failed || isNew(found), `operation ${n} failed, and the save said nothing`);
      if (stopping.count() <= n) break;
    }
  });
}

test("a save that was killed while it made a new directory leaves nothing, and the next cleans up", () => {
  let n = 0;
  for (; ; n++) {
    const directory = fresh();
    const stopping = killedAt(n, quick);
    try {
      save(directory, NEW, stopping.fs);
    } catch (error) {
      assert.instance(error, LowrankError);
    }
    if (stopping.count() <= n) break;
    if (nodeFs.existsSync(directory)) assert.equal(read(directory), NEW);
    save(directory, NEXT);
    assert.equal(everything(directory), ["out", "out/config", "out/weights"], `operation ${n}`);
  }
  assert.ok(n > 10);
});

/** A directory whose save was killed after `moves` of its files had moved. */
function killedAfter(moves: number): string {
  const directory = old();
  const real = fileSystem();
  let left = moves + 1;
  const stop = () => {
    throw new Error("killed");
  };
  const fs: FileSystem = { ...real };
  fs.renameSync = (from, to) => {
    if (left-- === 0) {
      // Nothing more is done, as after kill -9.
      Object.assign(fs, { renameSync: stop, unlinkSync: stop, rmdirSync: stop });
      stop();
    }
    real.renameSync(from, to);
  };
  assert.throws(() => save(directory, NEW, fs));
  return directory;
}

test("a config that was edited after a killed save never stands beside other weights", () => {
  for (const moves of [0, 1, 2]) {
    const directory = killedAfter(moves);
    nodeFs.writeFileSync(join(directory, "config"), "edited by hand");
    // Before the first move the directory counts as it lies, later as it was saved.
    const expected = moves === 0 ? { ...OLD, config: "edited by hand" } : NEW;
    assert.equal(read(directory), expected);
    finishPending(directory, fileSystem());
    assert.equal(read(directory), expected);
  }
});

test("after a killed save has been finished a config may be edited", () => {
  for (const moves of [0, 1, 2]) {
    const directory = killedAfter(moves);
    finishPending(directory, fileSystem());
    nodeFs.writeFileSync(join(directory, "config"), "edited by hand");
    assert.equal(read(directory), { ...NEW, config: "edited by hand" });
  }
});

test("files that another program writes after a killed save are read as they lie", () => {
  for (const moves of [0, 1, 2]) {
    const directory = killedAfter(moves);
    for (const name of ["weights", "config"])
      nodeFs.writeFileSync(join(directory, name), `${name} of another program`);
    for (const finish of [false, true]) {
      if (finish) finishPending(directory, fileSystem());
      const found = read(directory);
      assert.is(found["config"], "config of another program");
      assert.is(found["weights"], "weights of another program");
    }
    save(directory, NEXT);
    assert.equal(read(directory), NEXT);
  }
});

test("a copy of a directory with a killed save is read as the directory is", () => {
  for (const moves of [0, 1, 2]) {
    const directory = killedAfter(moves);
    const copy = fresh();
    nodeFs.cpSync(directory, copy, { recursive: true });
    const later = new Date(Date.now() + 5000);
    for (const name of nodeFs.readdirSync(copy, { recursive: true, encoding: "utf8" }))
      nodeFs.utimesSync(join(copy, name), later, later);
    assert.equal(read(copy), read(directory));
    assert.is(isNew(read(copy)), true);
  }
});

test("a directory that cannot be written is read through the files that wait", () => {
  const directory = killedAfter(1);
  const refuse = () => {
    throw Object.assign(new Error("EROFS"), { code: "EROFS" });
  };
  const readOnly: FileSystem = {
    ...fileSystem(),
    ...{ renameSync: refuse, unlinkSync: refuse, rmdirSync: refuse, mkdirSync: refuse },
  };
  assert.throws(() => finishPending(directory, readOnly));
  assert.ok(currentPath(`${directory}/config`, readOnly)?.includes(PENDING));
  assert.is(new TextDecoder().decode(readCurrent(`${directory}/config`, readOnly)!), "new");
  assert.is(readCurrent(`${directory}/index`, readOnly), null);
});

test("a directory of that name which no save made is somebody's own", () => {
  const directory = old();
  nodeFs.mkdirSync(join(directory, PENDING, "files"), { recursive: true });
  nodeFs.writeFileSync(join(directory, PENDING, "files", "thesis.txt"), "mine");
  nodeFs.writeFileSync(join(directory, PENDING, "files", "config"), "hostile");
  const before = everything(directory);
  finishPending(directory, fileSystem());
  assert.is(new TextDecoder().decode(readCurrent(`${directory}/config`)!), "old config");
  assert.throws(
    () => writeDirectory(directory, filesOf(NEW), { ...options, overwrite: true }),
    /already holds something else: "lowrank-unfinished-save"/,
  );
  assert.equal(everything(directory), before);
});

test("what a stranger's directory claims to wait never replaces another file", () => {
  for (const moved of [[], ["weights"]]) {
    const directory = old();
    const pending = join(directory, PENDING);
    nodeFs.mkdirSync(join(pending, "files", "gone.txt"), { recursive: true });
    nodeFs.writeFileSync(join(pending, "files", "thesis.txt"), "hostile");
    for (const name of ["thesis.txt", "gone.txt", ...moved])
      nodeFs.mkdirSync(join(pending, "stamps", `none,none,${name}`), { recursive: true });
    for (const name of ["thesis.txt", "gone.txt"])
      nodeFs.writeFileSync(join(directory, name), "mine");
    finishPending(directory, fileSystem());
    writeDirectory(directory, filesOf(NEXT), { ...options, overwrite: true });
    assert.equal(read(directory), {
      config: "next",
      "gone.txt": "mine",
      "thesis.txt": "mine",
      weights: NEXT.weights,
    });
  }
});

test.run();
