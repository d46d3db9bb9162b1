import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gate, partsOf, readParts } from "../../src/core/file-parts.ts";
import { fileSystem } from "../../src/core/files.ts";
import { temporaryPaths } from "../support/temporary.ts";

const next = temporaryPaths("lowrank-parts");
const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const path = next();
writeFileSync(path, bytes);

/** Wants 4 bytes, and then as many as the first of them says. */
const gate: Gate = (head) => (head.length < 4 ? 4 : head[0]! + 10);

test("a file comes in two parts, on disk and in memory", () => {
  for (const parts of [readParts(path, gate, true), partsOf(bytes, gate, true)]) {
    assert.equal(new Uint8Array(parts.head), bytes.slice(0, 10));
    assert.equal(new Uint8Array(parts.rest!), bytes.slice(10));
  }
});

test("the gate sees the size, and more of the file each time", () => {
  const seen: [number, number][] = [];
  const watch: Gate = (head, size) => {
    seen.push([head.length, size]);
    return gate(head, size);
  };
  readParts(path, watch, true);
  assert.equal(seen, [
    [0, 1000],
    [4, 1000],
    [10, 1000],
  ]);
});

test("what the gate refuses, or does not want, is not read", () => {
  // A terabyte, of which the disk holds nothing but the end.
  const long = next();
  const file = openSync(long, "w");
  writeSync(file, new Uint8Array(1), 0, 1, 1e12);
  closeSync(file);
  assert.is(readParts(long, gate, false).rest, null);
  assert.throws(
    () =>
      readParts(
        long,
        () => {
          throw new Error("no");
        },
        true,
      ),
    /Could not read ".*": no/,
  );
});

test("a file that is cut off while it is read is an error", () => {
  const fs = { ...fileSystem(), fstatSync: () => ({ size: 2000 }) };
  assert.throws(() => readParts(path, gate, true, fs), /it ended early/);
});

test.run();
