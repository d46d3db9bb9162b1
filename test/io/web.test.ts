import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LowrankError } from "../../src/core/error.ts";
import { openSource, readRequired } from "../../src/io/directory.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { fetchFile } from "../../src/io/web.ts";
import { readWeights } from "../../src/io/weights.ts";

// /status/NNN/... answers NNN; /who says how the asker introduced itself; /login leads to a page; /file is there.
const weights = writeSafetensors(
  new Map([["a", { dtype: "U8", shape: [5], bytes: Uint8Array.of(1, 2, 3, 4, 5) }]]),
);
let sent = 0;
let server: Server;
let base = "";
test.before(async () => {
  server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url!, "http://localhost");
    const status = Number(/^\/status\/(\d+)\//.exec(pathname)?.[1] ?? 200);
    if (pathname.startsWith("/login")) response.writeHead(302, { location: "/page" }).end();
    else if (pathname === "/page")
      response.writeHead(200, { "content-type": "text/html" }).end("<html>");
    else if (pathname === "/cut")
      response.writeHead(200, { "content-length": "9" }).write("x", () => response.destroy());
    else if (pathname === "/endless/model.safetensors") {
      // A header that nobody can read, and data without end.
      response.writeHead(200);
      const bytes = new Uint8Array(1 << 16);
      bytes.set([2, 0, 0, 0, 0, 0, 0, 0, 0x5b, 0x5d]);
      const more = (): void => {
        if (response.destroyed) return;
        sent += bytes.length;
        response.write(bytes, () => setImmediate(more));
      };
      more();
    } else if (pathname.startsWith("/good/model.safetensors")) {
      const length = search === "?told" ? { "content-length": String(weights.length) } : {};
      response.writeHead(200, length);
      for (const byte of weights) response.write(Uint8Array.of(byte));
      response.end();
    } else if (pathname.startsWith("/good/")) response.writeHead(404).end();
    else response.writeHead(status).end(`${request.headers.authorization ?? "nobody"}${search}`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
test.after(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const textOf = async (address: string) => {
  const answer = await fetchFile(new URL(address));
  return "bytes" in answer ? new TextDecoder().decode(answer.bytes) : answer;
};

test("a file is fetched with the query, and with the user as basic authentication", async () => {
  assert.is(await textOf(`http://${base}/file?a=b`), "nobody?a=b");
  const basic = Buffer.from("me:sé/cret").toString("base64");
  assert.is(await textOf(`http://me:s%C3%A9%2Fcret@${base}/file`), `Basic ${basic}`);
});

test("a store without a file answers 403, 404 or 410, or with a page", async () => {
  for (const status of [403, 404, 410]) {
    const { missing } = (await textOf(`http://${base}/status/${status}/x`)) as { missing: string };
    assert.match(missing, `the server answers ${status} `);
    const source = openSource(`http://${base}/status/${status}/`);
    assert.is(await source.read("vocab.json"), null);
    try {
      await readRequired(source, "config.json");
      assert.unreachable();
    } catch (error) {
      assert.match(
        (error as Error).message,
        `There is no config.json in http://${base}/status/${status}/: the server answers ${status} `,
      );
    }
  }
  assert.equal(await textOf(`http://${base}/login`), {
    missing: "the server answers with a page of HTML, a start page or a login",
  });
});

test("a server that fails, refuses or goes away is an error without the secrets of the address", async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["status/401/x", /answers 401 .*wants a name and a password.*name:password@host/],
    ["status/429/x", /answers 429/],
    ["status/500/x", /answers 500/],
    ["cut", /\/cut: ./],
  ];
  const nowhere = "http://SECRET:SECRET@127.0.0.1:1/x?SECRET";
  const broken = `http://SECRET%zz@${base}/x`;
  const addresses = cases.map(
    ([path, message]) => [`http://SECRET:SECRET@${base}/${path}?SECRET#SECRET`, message] as const,
  );
  for (const [address, message] of [
    ...addresses,
    [nowhere, /127\.0\.0\.1:1\/x: .*(ECONNREFUSED|bad port)/] as const,
    [broken, /\/x: /] as const,
  ]) {
    try {
      await fetchFile(new URL(address));
      assert.unreachable(address);
    } catch (error) {
      assert.instance(error, LowrankError);
      assert.match((error as Error).message, message);
      assert.match((error as Error).message, /^Could not fetch http:\/\/127/);
      assert.not.match((error as Error).stack ?? "", "SECRET");
      assert.not.match(String((error as Error).cause), "SECRET");
    }
  }
});

test("a header that is refused ends the download of its data", async () => {
  const source = openSource(`http://${base}/endless/`);
  try {
    await readWeights(source);
    assert.unreachable();
  } catch (error) {
    assert.match(
      (error as Error).message,
      /endless\/+model\.safetensors is not valid: expected "{"/,
    );
  }
  assert.ok(sent < 100e6, `${sent} bytes`);
});

test("weights that come byte by byte, of a length that is told or not, are read whole or by their header", async () => {
  for (const query of ["", "?told"]) {
    const source = openSource(`http://${base}/good/${query}`);
    const { tensors } = await readWeights(source);
    assert.equal([...tensors.get("a")!.bytes], [1, 2, 3, 4, 5]);
    const headers = await readWeights(source, "model", { data: false });
    assert.equal(headers.tensors.get("a")!.shape, [5]);
    assert.throws(() => headers.tensors.get("a")!.bytes, /only the header has been read/);
  }
});

test.run();
