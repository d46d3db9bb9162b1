import { test } from "uvu";
import * as assert from "uvu/assert";
import { foreignKind, foreignName, isLfsPointer } from "../../src/core/foreign.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const pointer =
  "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n";

const others: readonly (readonly [string, RegExp])[] = [
  ["GGUF\u0003\0\0\0\u0010\0\0\0", /^is a GGUF file, which cannot be read yet/],
  [pointer, /^is a Git LFS pointer.* git lfs pull/],
  ["PK\u0003\u0004\u0014\0\0\0\u0008\0", /^is a zip archive/],
  ["\u0080\u0002\u008a\nl\u00fc\u009cF", /^is a Python pickle/],
  ["\u0080\u0004\u0095\u0010\0\0\0\0\0\0\0}", /^is a Python pickle/],
  ["\u001f\u008b\u0008\0\0\0\0\0\0\u0003", /^is a gzip archive/],
  ["<!DOCTYPE html>\n<html lang=en>", /^is a page of HTML/],
  ["\n  <html><head>", /^is a page of HTML/],
  ["\u0089HDF\r\n\u001a\n", /^is an HDF5 file/],
  ["%PDF-1.7\n%", /^is a PDF/],
];

test("files of other kinds are known by their first bytes, and by the first eight of them", () => {
  for (const [start, kind] of others) {
    assert.match(foreignKind(bytes(start)) ?? "none", kind);
    if (start.trim() !== start) continue;
    assert.match(foreignKind(bytes(start.slice(0, 8))) ?? "none", kind);
  }
});

test("what lowrank reads is none of them", () => {
  const header = '{"__metadata__":{"format":"pt"}}';
  const safetensors = bytes(`${String.fromCharCode(0x80, 2, 0, 0, 0, 0, 0, 0)}${header}`);
  for (const own of [
    safetensors,
    bytes(header),
    bytes("LOWRANK1"),
    bytes(""),
    bytes("version 2 of it"),
  ]) {
    assert.is(foreignKind(own), null);
    assert.is(isLfsPointer(own), false);
  }
  assert.is(isLfsPointer(bytes(pointer)), true);
});

test("a name tells of a GGUF file", () => {
  assert.match(foreignName("model-Q4_K_M.GGUF") ?? "none", /^is a GGUF file/);
  assert.is(foreignName("model.safetensors"), null);
});

test.run();
