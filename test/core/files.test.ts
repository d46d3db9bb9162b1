import nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { writeDirectory } from "../../src/core/directory-writer.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import {
  exists,
  type FileSystem,
  fileSystem,
  kindOfPath,
  list,
  makeDirectory,
  readFile,
  removeFile,
  writeFile,
} from "../../src/core/files.ts";

const root = nodeFs.mkdtempSync(join(tmpdir(), "files-"));
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (path: string) => nodeFs.readFileSync(path, "utf8");
let count = 0;
function fresh(): string {
  const path = join(root, String(count++));
  nodeFs.mkdirSync(path);
  return path;
}
test.after(() => nodeFs.rmSync(root, { recursive: true }));

/** Everything below `path` as a map from name to text, to see that nothing changed. */
function snapshot(path: string): Record<string, string> {
  const names = nodeFs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
  const files = names.filter((name) => nodeFs.statSync(join(path, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, text(join(path, name))]));
}

function failure(action: () => void): LowrankError {
  try {
    action();
  } catch (error) {
    assert.instance(error, LowrankError);
    return error as LowrankError;
  }
  return assert.unreachable("nothing was refused") as never;
}

const codeError = (code: string) => Object.assign(new Error(`${code}: as node says it`), { code });

/** The real file system, in which one function fails from its n-th call on, as long as asked. */
function failing(name: keyof FileSystem, from: number, code: string, times = Infinity): FileSystem {
  let calls = 0;
  const real = fileSystem();
  const broken = (...args: never[]) => {
    calls++;
    if (calls >= from && calls < from + times) throw codeError(code);
    return (real[name] as (...args: never[]) => unknown)(...args);
  };
  return { ...real, [name]: broken };
}

/** A disk that takes this many bytes in all and is full then; a write that hits the end is partial. */
function smallDisk(capacity: number): FileSystem {
  const real = fileSystem();
  let left = capacity;
  return {
    ...real,
    writeSync(file, data, offset, length) {
      if (left === 0) throw codeError("ENOSPC");
      const fitting = Math.min(length, left, 3);
      left -= fitting;
      return real.writeSync(file, data, offset, fitting);
    },
  };
}

test("a file is written, read, replaced and removed", () => {
  const path = join(fresh(), "a.bin");
  assert.is(exists(path), false);
  writeFile(path, bytes("one"));
  assert.equal(readFile(path), bytes("one"));
  writeFile(path, bytes(""));
  assert.equal(readFile(path), bytes(""));
  removeFile(path);
  removeFile(path);
  assert.is(exists(path), false);
});

test("what is read is a plain Uint8Array, whose slice copies", () => {
  const path = join(fresh(), "a.bin");
  writeFile(path, bytes("one"));
  const read = readFile(path);
  assert.is(read.constructor, Uint8Array);
  read.slice()[0] = 0;
  assert.equal(read, bytes("one"));
});

test("a save leaves no other file behind", () => {
  const directory = fresh();
  writeFile(join(directory, "a"), bytes("one"));
  writeFile(join(directory, "a"), bytes("two"));
  assert.equal(list(directory), ["a"]);
});

test("on a disk that fills up anywhere in a save the old file stays whole, and nothing else is left", () => {
  const directory = fresh();
  const path = join(directory, "a");
  writeFile(path, bytes("the old contents"));
  const after = bytes("the new contents");
  for (let capacity = 0; capacity < after.length; capacity++) {
    const error = failure(() => writeFile(path, after, smallDisk(capacity)));
    assert.match(error.message, /Could not write ".*a": the disk is full; .* try again\.$/);
    assert.equal(snapshot(directory), { a: "the old contents" });
  }
  writeFile(path, after, smallDisk(after.length));
  assert.is(text(path), "the new contents");
});

for (const step of ["openSync", "writeSync", "fsyncSync", "closeSync", "renameSync"] as const) {
  test(`when ${step} fails in a save the old file stays whole, and nothing else is left`, () => {
    const directory = fresh();
    const path = join(directory, "a");
    writeFile(path, bytes("old"));
    const error = failure(() => writeFile(path, bytes("new"), failing(step, 1, "EIO")));
    assert.match(error.message, /the disk reports an error/);
    assert.equal(snapshot(directory), { a: "old" });
  });
}

test("a directory that cannot be flushed does not fail the save", () => {
  const path = join(fresh(), "a");
  writeFile(path, bytes("new"), failing("fsyncSync", 2, "EPERM"));
  assert.is(text(path), "new");
});

test("errors are sentences that name the path", () => {
  const directory = fresh();
  writeFile(join(directory, "file"), bytes("x"));
  const cases: [() => void, RegExp][] = [
    [
      () => readFile(join(directory, "none")),
      /Could not read ".*none": there is no such file or directory\.$/,
    ],
    [() => readFile(directory), /Could not read .*: it is a directory, not a file\.$/],
    [() => readFile(join(directory, "file/x")), /a part of the path is a file, not a directory\.$/],
    [
      () => writeFile(directory, bytes("x")),
      /Could not write .*: it is a directory\. Choose another path\.$/,
    ],
    [() => writeFile(join(directory, "file/x"), bytes("x")), /a part of the path is a file/],
    [() => writeFile(join(directory, "none/x"), bytes("x")), /there is no such file or directory/],
    [() => writeFile("/dev/null", bytes("x")), /it is not a regular file/],
    [() => list(join(directory, "none")), /Could not list/],
    [() => makeDirectory(join(directory, "file/x")), /Could not make the directory/],
    [() => readFile("a\0b"), /Could not read "a\\u0000b"/],
    [
      () => writeFile(join(directory, "b"), bytes("x"), failing("openSync", 1, "EACCES")),
      /permission was denied/,
    ],
    [
      () => writeFile(join(directory, "b"), bytes("x"), failing("openSync", 1, "EROFS")),
      /read-only/,
    ],
  ];
  for (const [action, message] of cases) assert.match(failure(action).message, message);
  assert.equal(snapshot(directory), { file: "x" });
});

test("without a file system there is an error that says so", () => {
  const { process } = globalThis;
  try {
    Object.defineProperty(globalThis, "process", {
      value: undefined,
      configurable: true,
      writable: true,
    });
    const error = failure(() => readFile("a"));
    assert.instance(error, UsageError);
    assert.match(error.message, /no file system; pass the files as bytes/);
  } finally {
    Object.defineProperty(globalThis, "process", {
      value: process,
      configurable: true,
      writable: true,
    });
  }
});

const old = new Map([
  ["config.json", bytes("old config")],
  ["weights", bytes("old weights")],
]);
const new_ = new Map([
  ["config.json", bytes("new config")],
  ["weights", bytes("new weights")],
]);
const oldTexts = { "config.json": "old config", weights: "old weights" };
const newTexts = { "config.json": "new config", weights: "new weights" };

test("a directory is written where nothing is, where it is empty, and over one of its kind", () => {
  const directory = fresh();
  writeDirectory(join(directory, "a/b/"), old);
  assert.equal(snapshot(directory), {
    "a/b/config.json": "old config",
    "a/b/weights": "old weights",
  });
  nodeFs.mkdirSync(join(directory, "c"));
  writeDirectory(join(directory, "c"), old);
  writeDirectory(join(directory, "c"), new_);
  assert.equal(snapshot(join(directory, "c")), newTexts);
});

test("files of the writer's own kind that are not rewritten go, with what a killed save left", () => {
  const directory = fresh();
  for (const name of ["weights-1", "config.json", "weights.0123456789abcd.tmp"]) {
    writeFile(join(directory, name), bytes("x"));
  }
  writeDirectory(directory, new_, { owns: (name) => name.startsWith("weights") });
  assert.equal(snapshot(directory), newTexts);
});

test("a directory that holds other things is refused and listed, and overwrite leaves them alone", () => {
  const directory = fresh();
  writeDirectory(directory, old);
  writeFile(join(directory, "thesis.txt"), bytes("mine"));
  writeFile(join(directory, "draft.backup.tmp"), bytes("mine too"));
  nodeFs.mkdirSync(join(directory, "photos"));
  const error = failure(() => writeDirectory(directory, new_));
  assert.instance(error, UsageError);
  assert.match(
    error.message,
    /already holds something else: "draft.backup.tmp", "photos", "thesis.txt"\. Choose another path, or pass overwrite/,
  );
  const foreign = { "draft.backup.tmp": "mine too", "thesis.txt": "mine" };
  assert.equal(snapshot(directory), { ...oldTexts, ...foreign });
  writeDirectory(directory, new_, { overwrite: true });
  assert.equal(snapshot(directory), { ...newTexts, ...foreign });
});

test("a directory in the place of a file is refused even with overwrite", () => {
  const directory = fresh();
  nodeFs.mkdirSync(join(directory, "weights"));
  assert.match(
    failure(() => writeDirectory(directory, new_, { overwrite: true })).message,
    /"weights"/,
  );
  assert.equal(snapshot(directory), {});
});

test("a file in the place of the directory is refused", () => {
  const path = join(fresh(), "a");
  writeFile(path, bytes("x"));
  assert.match(failure(() => writeDirectory(path, new_)).message, /is a file, but a directory/);
  assert.is(text(path), "x");
});

test("names that lead elsewhere are refused", () => {
  for (const name of ["../a", "a/b", "a\\b", "..", ".", "", "C:a"]) {
    failure(() => writeDirectory(join(root, "never"), new Map([[name, bytes("x")]])));
  }
  assert.is(kindOfPath(join(root, "never")), null);
});

test("on a disk that fills up anywhere, a directory stays as it was or missing", () => {
  const directory = fresh();
  writeDirectory(join(directory, "old"), old);
  const total = bytes("new confignew weights").length;
  for (let capacity = 0; capacity < total; capacity++) {
    for (const name of ["old", "new"]) {
      const error = failure(() =>
        writeDirectory(join(directory, name), new_, {}, smallDisk(capacity)),
      );
      assert.match(error.message, /the disk is full/);
    }
    assert.equal(list(directory), ["old"]);
    assert.equal(snapshot(join(directory, "old")), oldTexts);
  }
});

test("when renaming fails halfway the files that were replaced come back", () => {
  const directory = fresh();
  writeDirectory(directory, old);
  const more = new Map([["added", bytes("x")], ...new_]);
  for (let from = 1; from <= 3; from++) {
    failure(() => writeDirectory(directory, more, {}, failing("renameSync", from, "EIO", 1)));
    assert.equal(snapshot(directory), oldTexts);
  }
});

test("without hard links a directory is written all the same", () => {
  const directory = fresh();
  writeDirectory(directory, old);
  writeDirectory(directory, new_, {}, failing("linkSync", 1, "EPERM"));
  assert.equal(snapshot(directory), newTexts);
});

test.run();
