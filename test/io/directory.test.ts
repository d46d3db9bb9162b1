import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, LowrankError, UsageError } from "../../src/core/error.ts";
import {
  checkFileName,
  type FileLocation,
  openSource,
  readRequired,
} from "../../src/io/directory.ts";
import { fromFloat32, writeSafetensors } from "../../src/io/safetensors.ts";
import { readIndex, readWeights } from "../../src/io/weights.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const shard = (...names: string[]) =>
  writeSafetensors(new Map(names.map((name) => [name, fromFloat32(Float32Array.of(1, 2), [2])])));
const indexOf = (map: unknown) =>
  encode(JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));
const sharded = {
  "model.safetensors.index.json": indexOf({ a: "one.safetensors", b: "two.safetensors" }),
  "one.safetensors": shard("a"),
  "two.safetensors": shard("b"),
};

async function failure(action: () => unknown): Promise<LowrankError> {
  try {
    await action();
  } catch (error) {
    assert.instance(error, LowrankError);
    return error as LowrankError;
  }
  return assert.unreachable("nothing was refused") as never;
}

const root = mkdtempSync(join(tmpdir(), "source-"));
const directory = join(root, "model files");
mkdirSync(directory);
for (const [name, bytes] of Object.entries(sharded)) writeFileSync(join(directory, name), bytes);
writeFileSync(join(root, "secret"), "secret");

let server: Server;
let base = "";
test.before(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    const name = decodeURIComponent(pathname).replace("/some dir/", "");
    const bytes = sharded[name as keyof typeof sharded];
    if (name === "broken.bin") response.writeHead(500).end();
    else if (name === "cut.bin")
      response.writeHead(200, { "content-length": "9" }).write("x", () => response.destroy());
    else if (name === "page")
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<html>");
    else if (bytes === undefined) response.writeHead(404).end();
    else response.writeHead(200).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/some%20dir`;
});
test.after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(root, { recursive: true });
});

test("a directory, a file URL, a web address and bytes by name give the same files", async () => {
  const places: FileLocation[] = [
    directory,
    `${directory}/`,
    pathToFileURL(directory),
    base,
    `${base}/`,
    new URL(base),
    sharded,
    new Map(Object.entries(sharded)),
  ];
  for (const place of places) {
    const source = openSource(place);
    assert.equal(await source.read("one.safetensors"), shard("a"));
    assert.is(await source.read("none"), null);
    assert.ok(source.list() === null || source.list()!.length === 3);
    assert.equal([...(await readWeights(source)).tensors.keys()], ["a", "b"]);
  }
});

test("names that lead out of the directory are refused", async () => {
  const outside = [
    "../secret",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    "",
    "http://x",
    "C:x",
    "a%2fb",
    "a?b",
    "a\0",
  ];
  for (const name of outside) {
    assert.throws(
      () => checkFileName(name, "x"),
      (error: unknown) => error instanceof FormatError,
    );
    for (const place of [directory, base]) await failure(() => openSource(place).read(name));
  }
});

test("a missing directory, a file in its place and other kinds of places are refused", async () => {
  assert.match((await failure(() => openSource(join(root, "none")))).message, /there is nothing/);
  assert.match((await failure(() => openSource(join(root, "secret")))).message, /it is a file/);
  assert.match((await failure(() => openSource("model.pt"))).message, /is a pickle/);
  for (const place of [new URL("ftp://x/"), 7, null, undefined, { "a.json": "text" }]) {
    assert.instance(await failure(() => openSource(place as FileLocation)), UsageError);
  }
});

test("a server that fails, breaks off or cannot be reached is an error that names the address", async () => {
  const source = openSource(base);
  assert.match(
    (await failure(() => source.read("broken.bin"))).message,
    /broken\.bin: the server answers 500/,
  );
  assert.match((await failure(() => source.read("cut.bin"))).message, /Could not fetch .*cut\.bin/);
  const nowhere = openSource("http://127.0.0.1:1/");
  assert.match(
    (await failure(() => nowhere.read("a"))).message,
    /Could not fetch http:\/\/127.0.0.1:1\/a/,
  );
});

test("the start page of a web app is not mistaken for a file", async () => {
  assert.is(await openSource(base).read("page"), null);
});

test("a file that must be there is missed by name, with what there is", async () => {
  const { message } = await failure(() => readRequired(openSource(sharded), "config.json"));
  assert.match(
    message,
    /There is no config\.json in the files given; found "model.safetensors.index.json", "one/,
  );
});

test("a single file is preferred to shards", async () => {
  const source = openSource({ ...sharded, "model.safetensors": shard("c") });
  assert.equal([...(await readWeights(source)).tensors.keys()], ["c"]);
});

const hostile: [string, Record<string, Uint8Array>, RegExp][] = [
  [
    "a shard above the directory",
    { "model.safetensors.index.json": indexOf({ a: "../x" }) },
    /"\.\.\/x"; only plain names/,
  ],
  [
    "a shard with an absolute path",
    { "model.safetensors.index.json": indexOf({ a: "/etc/passwd" }) },
    /only plain names/,
  ],
  [
    "a shard with a Windows path",
    { "model.safetensors.index.json": indexOf({ a: "C:\\x" }) },
    /only plain names/,
  ],
  [
    "a shard at a URL",
    { "model.safetensors.index.json": indexOf({ a: "https://example.com/x" }) },
    /only plain names/,
  ],
  [
    "a pickled shard",
    { "model.safetensors.index.json": indexOf({ a: "pytorch_model-00001.bin" }) },
    /is a pickle/,
  ],
  [
    "a missing shard",
    { "model.safetensors.index.json": indexOf({ a: "x.safetensors" }) },
    /There is no x\.safetensors/,
  ],
  [
    "a shard without its tensor",
    { ...sharded, "two.safetensors": shard("c") },
    /lacks the tensor "b"/,
  ],
  [
    "a tensor in two shards",
    { ...sharded, "two.safetensors": shard("a", "b") },
    /"a" lies in .*two.safetensors, but the index .* "one/,
  ],
  [
    "an unlisted tensor in two shards",
    { ...sharded, "one.safetensors": shard("a", "c"), "two.safetensors": shard("b", "c") },
    /"c" lies in two shards/,
  ],
  [
    "an index that is no object",
    { "model.safetensors.index.json": encode("[]") },
    /must hold a JSON object/,
  ],
  [
    "an index without a map",
    { "model.safetensors.index.json": encode("{}") },
    /"weight_map" must be an object/,
  ],
  [
    "an index with a number as file",
    { "model.safetensors.index.json": indexOf({ a: 1 }) },
    /"a" has no file name/,
  ],
  [
    "a broken shard",
    { ...sharded, "two.safetensors": shard("b").subarray(0, 20) },
    /two\.safetensors/,
  ],
  [
    "pickled weights",
    { "pytorch_model.bin": encode("x") },
    /"pytorch_model.bin" is a pickle, .* run code; convert it to safetensors/,
  ],
  ["a pickled adapter", { "adapter_model.bin": encode("x") }, /is a pickle/],
  ["weights in .pth", { "consolidated.00.pth": encode("x") }, /is a pickle/],
  ["weights in .ckpt", { "model.ckpt": encode("x") }, /is a pickle/],
  ["weights in .pkl", { "params.pkl": encode("x") }, /is a pickle/],
  ["weights in .pt", { "model.pt": encode("x") }, /is a pickle/],
  [
    "no weights at all",
    { "config.json": encode("{}") },
    /no model\.safetensors .*; found "config\.json"/,
  ],
];
for (const [what, files, message] of hostile) {
  test(`${what}: refused`, async () => {
    const error = await failure(() => readWeights(openSource(files)));
    assert.instance(error, FormatError);
    assert.match(error.message, message);
  });
}

test("odd tensor names in an index are plain strings", () => {
  const index = encode('{"weight_map": {"__proto__": "a.safetensors", "": "a.safetensors"}}');
  assert.equal([...readIndex(index, "x").keys()], ["__proto__", ""]);
});

test("a tensor that the index names twice is refused", async () => {
  const index = encode(
    '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "a": "one.safetensors"}}',
  );
  const files = { ...sharded, "model.safetensors.index.json": index };
  const error = await failure(() => readWeights(openSource(files)));
  assert.match(error.message, /names the tensor "a" twice/);
});

test.run();
