// Chromium: a page served over loopback with the headers of the case imports the package and posts its result.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { whileRunning } from "./process.mjs";

const LIMIT_MS = 90_000;

const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"],
  ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
  ...["--disable-sync", "--disable-extensions"],
];

/** The path of an installed Chromium, or null. */
export function findChromium() {
  const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"];
  return places.find((place) => place !== undefined && existsSync(place)) ?? null;
}

function serve(workspace, { isolated, policy }, onResult) {
  const headers = { "Cache-Control": "no-store" };
  if (isolated) {
    headers["Cross-Origin-Opener-Policy"] = "same-origin";
    headers["Cross-Origin-Embedder-Policy"] = "require-corp";
  }
  if (policy !== undefined) headers["Content-Security-Policy"] = policy;
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
    if (request.method === "POST") {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        response.writeHead(204).end();
        onResult(JSON.parse(body));
      });
    } else if (path === "/") {
      response.writeHead(200, { ...headers, "Content-Type": "text/html" });
      response.end('<!doctype html><script type="module" src="./page.mjs"></script>');
    } else if (/\.m?js$/.test(path) && existsSync(join(workspace, path))) {
      response.writeHead(200, { ...headers, "Content-Type": "text/javascript" });
      response.end(readFileSync(join(workspace, path)));
    } else {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** What the page reports. */
export async function runChromium(binary, workspace, headers) {
  const profile = mkdtempSync(join(tmpdir(), "lowrank-chromium-"));
  let report;
  const reported = new Promise((resolve) => (report = resolve));
  const server = await serve(workspace, headers, report);
  const limit = setTimeout(() => report({ error: "the page did not report" }), LIMIT_MS);
  const address = `http://127.0.0.1:${server.address().port}/`;
  const args = [...FLAGS, `--user-data-dir=${profile}`, address];
  try {
    return await whileRunning(binary, args, {}, () => reported);
  } finally {
    clearTimeout(limit);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
