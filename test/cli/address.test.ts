// A model and a text at an address that holds secrets: they are used to ask, and stand in no file and no line.
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Finished, firstEvent, lowrankHere } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = mkdtempSync(join(tmpdir(), "lowrank-address-"));
const model = join(root, "model");
writeTinyModel(model);
writeFileSync(join(model, "text.txt"), bundledText().slice(0, 6000));

// As a store with signed links: whoever lacks the token or the name gets 403.
let server: Server;
let host = "";
test.before(async () => {
  server = createServer((request, response) => {
    const url = new URL(request.url!, "http://localhost");
    const file = join(model, url.pathname.slice("/m/".length));
    const isKnown =
      url.searchParams.get("token") === "SECRET" ||
      request.headers.authorization === `Basic ${btoa("me:SECRET")}`;
    if (isKnown && url.pathname.startsWith("/m/") && existsSync(file))
      response.end(readFileSync(file));
    else response.writeHead(403).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
test.after(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  rmSync(root, { recursive: true, force: true });
});

const small = ["--block-size", "16", "--batch-size", "1", "--max-new-tokens", "0", "--steps", "2"];

function checkSecret({ stdout, stderr }: Finished, out: string): void {
  assert.not.match(stdout + stderr, "SECRET");
  if (!existsSync(out)) return;
  for (const name of readdirSync(out, { recursive: true, encoding: "utf8" })) {
    if (/\.\w+$/.test(name))
      assert.not.match(readFileSync(join(out, name), "latin1"), "SECRET", name);
  }
}

for (const [what, address] of [
  ["a token", () => `http://${host}/m?token=SECRET`],
  ["a user", () => `http://me:SECRET@${host}/m`],
] as const) {
  test(`${what} in the address of the model and the text is written nowhere, and asked for again`, async () => {
    const out = join(root, what);
    const data = address().replace(/\/m(?=\?|$)/, "/m/text.txt");
    const places = ["--model", address(), "--data", data];
    const run = ["train", ...small, "--out", out, "--checkpoint-every", "1"];
    const trained = await lowrankHere([...run, ...places]);
    assert.is(trained.code, 0, trained.stderr);
    checkSecret(trained, out);
    const config = JSON.parse(readFileSync(join(out, "adapter/adapter_config.json"), "utf8"));
    assert.is(config.base_model_name_or_path, `http://${host}/m/`);

    rmSync(join(out, "checkpoint/state-2.bin"));
    const again = ["train", "--out", out, "--resume", "--max-new-tokens", "0", "--json"];
    const refused = await lowrankHere(again);
    assert.is(refused.code, 2);
    assert.match(refused.stderr, /--model http.*\/m and --data .*Give the whole address again/);
    const half = await lowrankHere([...again, "--model", address()]);
    assert.is(half.code, 2);
    assert.match(half.stderr, /--data http/);
    for (const finished of [refused, half]) checkSecret(finished, out);

    const other = join(root, `${what} elsewhere`);
    cpSync(model, other, { recursive: true });
    writeFileSync(join(other, "text.txt"), bundledText().slice(100, 6100));
    const changed = await lowrankHere([
      ...again,
      ...["--model", address(), "--data", join(other, "text.txt")],
    ]);
    assert.is(changed.code, 1);
    assert.match(changed.stderr, /the text changed/);
    const resumed = await lowrankHere([...again, ...places]);
    assert.is(resumed.code, 0, resumed.stderr);
    checkSecret(resumed, out);
  });
}

test("errors, inspect and eval do not tell the secrets of an address", async () => {
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["inspect", `http://${host}/m?token=SECRET`], 0, new RegExp(`http://${host}/m`)],
    [["inspect", `http://${host}/m?token=SECRET2`], 1, /holds neither/],
    [["inspect", `http://${host}/m/model.safetensors?token=SECRET`], 0, /safetensors/],
    [["inspect", `http://${host}/m/x.safetensors?token=SECRET`], 1, /There is no file.*403/],
    [["generate", "--model", `http://${host}/m?token=SECRET2`], 1, /no config\.json in .*403/],
    [["generate", "--model", "http://me:SECRET@127.0.0.1:1/m"], 1, /Could not fetch/],
    [
      ["generate", "--model", "ftp://me:x@SECRET/m".replace("SECRET", "a")],
      2,
      /http, https or file/,
    ],
    [["inspect", `http://${host}/m?SECRET`, "--model", `http://${host}/m?SECRET`], 2, /One thing/],
    [["train", `http://${host}/m?SECRET`], 2, /belongs to no option/],
    [["train", "--out", `http://${host}/m?SECRET`], 2, /nothing can be written to an address/],
    [
      ["eval", "--all", "--model", model, "--data", `http://${host}/m/text.txt?token=SECRET`],
      0,
      /m\/text\.txt/,
    ],
    [
      ["eval", "--model", model, "--data", `http://${host}/m/none.txt?token=SECRET`],
      1,
      /There is no text at .*403/,
    ],
  ];
  for (const [words, code, message] of cases) {
    for (const extra of [[], ["--json"]]) {
      const finished = await lowrankHere([...words, ...extra]);
      assert.is(finished.code, code, finished.stderr);
      checkSecret(finished, "none");
      assert.match(finished.stdout + finished.stderr, message);
    }
  }
});

test("every place of the command may be a file: URL", async () => {
  const url = (path: string) => pathToFileURL(join(root, path)).href;
  const places = ["--model", url("model"), "--data", url("model/text.txt"), "--out", url("a run")];
  const trained = await lowrankHere(["train", ...small, ...places]);
  assert.is(trained.code, 0, trained.stderr);
  const adapter = ["--model", url("model"), "--adapter", url("a run/adapter")];
  const merged = ["merge", ...adapter, "--out", url("merged")];
  const commands = [merged, ["generate", ...adapter, "--max-new-tokens", "1", "--prompt", "a"]];
  for (const words of [...commands, ["inspect", url("a run/adapter")]]) {
    const finished = await lowrankHere(words);
    assert.is(finished.code, 0, finished.stderr);
  }
  const event = firstEvent(await lowrankHere(["inspect", url("merged"), "--json"]));
  assert.is(event["path"], join(root, "merged"));
  assert.not.ok(existsSync("file:"));
  const refused = await lowrankHere(["train", "--out", "file://./x"]);
  assert.is(refused.code, 2);
  assert.match(
    refused.stderr,
    /--out is "file:\/\/\.\/x", but must be a file URL with the whole path/,
  );
});

test.run();
