// The package on its way to a user: what is in it, how large it is, and that it works in an empty folder.

import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { install, makeWorkspace, pack, packProject, root, run, tool } from "./installed.ts";

const MODEL_LIMIT = 4_000_000;
const LIMIT = 400_000;

const workspace = makeWorkspace("package");
const packed = packProject(workspace.path);
const folder = install(packed.path, workspace.path);
const home = join(folder, "node_modules/lowrank");

interface Manifest {
  readonly version: string;
  readonly sideEffects: unknown;
  readonly type: string;
  readonly [field: string]: unknown;
}

const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as Manifest;

test("the package depends on nothing", () => {
  for (const field of ["dependencies", "peerDependencies", "optionalDependencies"]) {
    assert.is(manifest[field], undefined, field);
  }
  const installed = readdirSync(join(folder, "node_modules")).filter((name) => name[0] !== ".");
  assert.equal(installed, ["lowrank"]);
});

test("the packed manifest carries no scripts and no devDependencies", () => {
  assert.is(manifest["scripts"], undefined);
  assert.is(manifest["devDependencies"], undefined);
});

test("packing leaves the manifest of the project as it was, also after a pack that was killed", () => {
  const directory = join(workspace.path, "manifest");
  const path = join(directory, "package.json");
  const whole = readFileSync(join(root, "package.json"), "utf8");
  const { scripts } = JSON.parse(whole);
  assert.match(scripts.prepack, /manifest\.mjs strip$/);
  assert.match(scripts.postpack, /manifest\.mjs restore$/);
  cpSync(join(root, "package.json"), path, { recursive: true });
  const manifestScript = (action: string) => {
    const words = [join(root, "scripts/manifest.mjs"), action, directory];
    const { status, output } = run(process.execPath, words, root);
    assert.is(status, 0, output);
    return readFileSync(path, "utf8");
  };
  const short = manifestScript("strip");
  assert.is(JSON.parse(short).version, manifest.version);
  assert.is(manifestScript("strip"), short, "a pack after one that was killed");
  assert.is(manifestScript("restore"), whole);
  assert.is(manifestScript("restore"), whole, "with nothing to restore");
});

test("the package is an ES module without side effects", () => {
  assert.is(manifest.type, "module");
  assert.is(manifest.sideEffects, false);
});

test("the tarball is at most 4 MB, and 400 KB without the model", () => {
  assert.ok(packed.size <= MODEL_LIMIT, `${packed.size} bytes`);
  const copy = join(workspace.path, "without-model");
  cpSync(home, copy, { recursive: true });
  rmSync(join(copy, "models"), { recursive: true, force: true });
  const { size } = pack(copy, workspace.path);
  console.log(`\npackage: ${packed.size} bytes, without the model ${size} bytes`);
  assert.ok(size <= LIMIT, `${size} bytes without the model`);
});

test("the tarball holds what the program needs and nothing else", () => {
  const allowed = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
    /^dist\/core\.wasm(\.d\.ts)?$/,
    /^dist\/lib\/(api\/index\.(js|d\.ts)|cli\/main\.js|chunk\/\w+\.js)$/,
    /^data\/king-james\.txt$/,
    /^models\/lowrank-sotu\/(README\.md|config\.json|model\.safetensors|tokenizer\.json)$/,
  ];
  const strange = packed.files.filter((file) => !allowed.some((pattern) => pattern.test(file)));
  assert.equal(strange, []);
  for (const needed of [
    ...["README.md", "LICENSE", "CHANGELOG.md", "dist/core.wasm", "dist/core.wasm.d.ts"],
    ...["dist/lib/api/index.js", "dist/lib/api/index.d.ts", "dist/lib/cli/main.js"],
    "data/king-james.txt",
    ...["config.json", "model.safetensors", "tokenizer.json", "README.md"].map(
      (name) => `models/lowrank-sotu/${name}`,
    ),
  ]) {
    assert.ok(packed.files.includes(needed), needed);
  }
});

test("every program in it is reached from an entry", () => {
  const pending = ["dist/lib/api/index.js", "dist/lib/cli/main.js"];
  const reached = new Set<string>(pending);
  for (const file of pending) {
    const text = readFileSync(join(home, file), "utf8");
    for (const [, path = ""] of text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)) {
      const target = posix.join(posix.dirname(file), path);
      if (!reached.has(target)) pending.push(target);
      reached.add(target);
    }
  }
  const programs = packed.files.filter((file) => /^dist\/.*\.js$/.test(file));
  assert.equal(programs.sort(), [...reached].sort());
});

test("the command runs in an empty folder", () => {
  const version = run("npx", ["--offline", "lowrank", "--version"], folder);
  assert.is(version.status, 0, version.output);
  assert.ok(version.output.includes(manifest.version), version.output);
  const help = run("npx", ["--offline", "lowrank", "train", "--help"], folder);
  assert.is(help.status, 0, help.output);
  assert.match(help.output, /--steps/);
});

test("the command finds the embedded model", () => {
  const { status, output } = run("npx", ["--offline", "lowrank", "inspect", "--json"], folder);
  assert.is(status, 0, output);
});

const program = `
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { init, tensor } from "lowrank";
const bytes = readFileSync(fileURLToPath(import.meta.resolve("lowrank/core.wasm")));
for (const options of [{}, { deterministic: true }, { module: new WebAssembly.Module(bytes) }]) {
  const engine = await init({ threads: 1, ...options });
  const a = tensor([[1, 2], [3, 4]]);
  console.log(a.matmul(a).toArray().join(" "));
}
`;

test("an import works, and so does the binary given by hand", () => {
  const { status, output } = run(process.execPath, ["--input-type=module", "-e", program], folder);
  assert.is(status, 0, output);
  assert.is(output, "7 10 15 22\n".repeat(3));
});

test("an error that nobody catches shows its sentence, and little of the code that threw it", () => {
  const uncaught = `import { init, injectLora, loadModel } from "lowrank";
await init({ threads: 1 });
injectLora(await loadModel(), { lora_alpha: 4 });
`;
  const { status, output } = run(process.execPath, ["--input-type=module", "-e", uncaught], folder);
  assert.is(status, 1, output);
  assert.match(
    output,
    /^UsageError: "lora_alpha" is not an option of LoRA; did you mean loraAlpha\?/m,
  );
  assert.ok(output.length < 3000, `${output.length} characters`);
  // Whatever throws: no line of code is long. A literal of many characters may be, and names that are listed.
  const chunks = packed.files.filter((path) => /lib\/(?:chunk|cli)\/.*\.js$/.test(path));
  for (const path of chunks) {
    for (const line of readFileSync(join(home, path), "utf8").split("\n")) {
      if (line.length > 3000) assert.not.match(line, /\bthrow\b/, `${path}: ${line.length}`);
    }
  }
});

test("publint finds nothing", () => {
  const { status, output } = tool("publint", "src/cli.js", ["--strict", packed.path], root);
  assert.is(status, 0, output);
  assert.match(output, "All good!");
});

test("attw finds nothing", () => {
  const words = ["--profile", "esm-only", "--format", "json", packed.path];
  const { status, output } = tool("@arethetypeswrong/cli", "dist/index.js", words, root);
  assert.is(status, 0, output);
});

test.after(() => workspace.remove());
test.run();
