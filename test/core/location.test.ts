import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { isLocation, pathOf, placeOf } from "../../src/core/location.ts";

const path = fc
  .array(
    fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 8 })
      .filter((name) => !/[/\0]/.test(name)),
    { minLength: 1, maxLength: 4 },
  )
  .map((names) => resolve("/", ...names))
  .filter((name) => name !== "/" && name.isWellFormed());

test("a file URL names its path, as text and as an object, whatever the path holds", () => {
  fc.assert(
    fc.property(path, (whole) => {
      const url = pathToFileURL(whole);
      for (const location of [url, url.href, url.href.replace("file:", "FILE:")]) {
        assert.equal(placeOf(location, "x"), { path: whole });
        assert.is(pathOf(location, "x"), whole);
      }
    }),
  );
});

test("slashes, a query and a fragment of a file URL", () => {
  for (const text of ["file:///a/b c", "file:/a/b%20c", "file://localhost/a/b c?x=1#y"]) {
    assert.equal(placeOf(text, "x"), { path: "/a/b c" });
  }
});

test("paths are paths, also those that look a little like a URL", () => {
  const paths = [
    ...[
      "a",
      "./a",
      "../a b",
      "/a",
      "C:\\models\\a",
      "C:/models",
      "c:a",
      "a:b",
      "data:1",
      "data:a,b/c".slice(0, 6),
    ],
    ...[
      "file",
      "files:a",
      "http",
      "httpx:a",
      "https:",
      "blob",
      "meta-llama/Llama",
      "a?b#c",
      "ü",
      "%20",
      " http",
    ],
  ];
  for (const text of paths) assert.equal(placeOf(text, "x"), { path: text }, text);
});

test("addresses of the web are read, and not written to", () => {
  for (const text of ["http://a/b", "HTTPS://a/b?c=d", "https://u:p@a/b"]) {
    for (const location of [text, new URL(text)]) {
      assert.equal(placeOf(location, "x"), { web: new URL(text) });
      assert.throws(
        () => pathOf(location, "The directory"),
        /^The directory is .*, but must be a path or a file URL: nothing can be written/,
      );
    }
  }
});

test("what names no place is refused with what is expected", () => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [
      "file://./model",
      /must be a file URL with the whole path, .*\.\/model is written without file:/,
    ],
    ["file:model", /whole path/],
    ["file:./model", /whole path/],
    ["file:", /whole path/],
    ["file://server/share", /whole path/],
    ["file:///a%2Fb", /whole path/],
    ["file:///a%zz", /whole path/],
    ["http://", /a whole address/],
    ["https://a b/", /a whole address/],
    ["ftp://a/b", /a path, or an http, https or file URL/],
    ["s3://bucket/model", /a path, or/],
    ["hf://org/model", /a path, or/],
    ["data:application/json,{}", /a path, or/],
    ["data:,x", /a path, or/],
    ["blob:https://a/b", /a path, or/],
    [new URL("blob:https://a/b"), /a path, or/],
    [new URL("data:,x"), /a path, or/],
    ["", /not an empty text/],
    [null, /^X is null, but/],
    [undefined, /^X is undefined, but/],
    [7, /^X is 7, but/],
    [["a"], /^X is an array, but/],
    [new Uint8Array(3), /^X is an? Uint8Array, but/],
  ];
  for (const [location, message] of refused) {
    assert.throws(
      () => placeOf(location, "X"),
      (error: unknown) => error instanceof UsageError && message.test(error.message),
      String(location),
    );
    assert.throws(() => pathOf(location, "X"), message);
  }
});

test("the URL of another realm is one, an object of files is none", () => {
  const foreign = vm.runInNewContext(
    '({ href: "file:///a/b", protocol: "file:", [Symbol.toStringTag]: "URL" })',
  );
  assert.equal(placeOf(foreign, "x"), { path: "/a/b" });
  assert.ok(isLocation(foreign));
  for (const other of [{}, { href: new Uint8Array(1), protocol: new Uint8Array(1) }, null, 7]) {
    assert.not.ok(isLocation(other));
  }
});

test.run();
