// workerd: a configuration that lists every module by name, a server on a free port, one request.
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { whileRunning } from "./process.mjs";

const LIMIT_MS = 60_000;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function configuration(workspace, { entry, date, port }) {
  const base = "node_modules/lowrank/dist";
  const scripts = readdirSync(join(workspace, base, "lib"), { recursive: true })
    .map((name) => `${base}/lib/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".js") && !name.includes("/cli/"))
    .sort();
  const modules = [entry, "report.mjs", "program.mjs", "contents.mjs", ...scripts].map(
    (name) => `(name = "${name}", esModule = embed "${name}")`,
  );
  if (entry === "worker-with-module.mjs") {
    copyFileSync(join(workspace, base, "core.wasm"), join(workspace, "core.wasm"));
    modules.push(`(name = "core.wasm", wasm = embed "core.wasm")`);
  }
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "${date}",
  modules = [
    ${modules.join(",\n    ")}
  ],
);
`;
}

/** Starts a workerd of its own and gives its answer to one request to `read`. */
async function ask(binary, workspace, { entry, date }, request, read) {
  const port = await freePort();
  writeFileSync(join(workspace, "config.capnp"), configuration(workspace, { entry, date, port }));
  const options = { cwd: workspace };
  return whileRunning(binary, ["serve", "config.capnp"], options, async (stderr) => {
    const deadline = Date.now() + LIMIT_MS;
    while (Date.now() < deadline) {
      try {
        const signal = AbortSignal.timeout(LIMIT_MS);
        const response = await fetch(`http://127.0.0.1:${port}/`, { ...request, signal });
        return response.ok ? await read(response) : { error: await response.text() };
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    return { error: `workerd did not answer. ${stderr()}` };
  });
}

const asJson = (response) => response.json();
const asBytes = async (response) => new Uint8Array(await response.arrayBuffer());

/** What the worker reports. */
export async function runWorkerd(binary, workspace, options) {
  return ask(binary, workspace, options, {}, asJson);
}

/** The run in two halves, each in a workerd process of its own, the state's bytes carried over. */
export async function runWorkerdInHalves(binary, workspace, options) {
  const post = (body) => ({ method: "POST", body });
  const state = await ask(binary, workspace, options, post(new Uint8Array()), asBytes);
  if (state.error !== undefined) return state;
  const end = await ask(binary, workspace, options, post(state), asJson);
  if (end.error !== undefined) return end;
  const run = { threads: 1, ...end };
  return { state: state.length, runs: [run, run] };
}
