import nodeFs from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { writeDirectory } from "../../src/core/directory-writer.ts";
import { LowrankError } from "../../src/core/error.ts";
import { fileSystem, list, readFile, writeFile } from "../../src/core/files.ts";
import { temporaryPaths } from "../support/temporary.ts";

const path = temporaryPaths("file-names");
function fresh(): string {
  const directory = path();
  nodeFs.mkdirSync(directory);
  return directory;
}
const bytes = (text: string) => new TextEncoder().encode(text);

/** Names and texts of the files in a directory. */
function texts(directory: string): Record<string, string> {
  const names = nodeFs.readdirSync(directory).sort();
  return Object.fromEntries(
    names.map((name) => [name, nodeFs.readFileSync(join(directory, name), "utf8")]),
  );
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

test("a file may have the longest name that the file system takes", () => {
  const directory = fresh();
  const longest = `${"é".repeat(127)}e`;
  writeFile(join(directory, longest), bytes("one"));
  writeFile(join(directory, longest), bytes("two"));
  assert.equal(texts(directory), { [longest]: "two" });
  assert.match(
    failure(() => writeFile(join(directory, `${longest}e`), bytes("one"))).message,
    /the name is too long/,
  );
});

test("a directory and the files in it may have the longest names", () => {
  const directory = join(fresh(), "d".repeat(255));
  const [a, b] = ["a".repeat(255), "b".repeat(237)];
  for (const text of ["one", "two"]) {
    writeDirectory(directory, new Map([a, b].map((name) => [name, bytes(text)])));
    assert.equal(texts(directory), { [a]: text, [b]: text });
  }
  writeDirectory(directory, new Map([[b, bytes("three")]]), { owns: (name) => name === a });
  assert.equal(texts(directory), { [b]: "three" });
});

test("names of what every object has are names like others", () => {
  const directory = fresh();
  const names = ["__proto__", "constructor", "hasOwnProperty", "toString"];
  for (const text of ["one", "two"]) {
    writeDirectory(directory, new Map(names.map((name) => [name, bytes(text)])));
    assert.equal(list(directory), names);
    for (const name of names) assert.equal(readFile(join(directory, name)), bytes(text));
  }
  assert.match(
    failure(() => writeDirectory(directory, new Map([["a", bytes("x")]]))).message,
    /already holds something else: "__proto__", "constructor", "hasOwnProperty", "toString"/,
  );
  for (const code of names) {
    const openSync = () => {
      throw Object.assign(new Error(`${code}: as node says it`), { code });
    };
    const error = failure(() =>
      writeFile(join(fresh(), "a"), bytes("x"), { ...fileSystem(), openSync }),
    );
    assert.match(error.message, `: ${code}: as node says it.`);
  }
});

test.run();
