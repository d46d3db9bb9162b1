// The package in a bundle for the browser: it starts, asks for no file and no module of Node, and what is not used is
// left out.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { install, makeWorkspace, packProject, run } from "./installed.ts";

const workspace = makeWorkspace("bundle");
const folder = install(packProject(workspace.path).path, workspace.path);

/** Bundles a program for the browser and returns the path of the bundle. */
function bundle(name: string, source: string): string {
  const entry = join(folder, `${name}.js`);
  const outfile = join(workspace.path, `${name}.mjs`);
  writeFileSync(entry, source);
  const { warnings } = buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
  });
  assert.equal(
    warnings.map(({ text }) => text),
    [],
  );
  return outfile;
}

const training = `
import { AdamW, init, injectLora, Transformer, normalInitializer, scope } from "lowrank";
await init({ deterministic: true, threads: 2 });
const model = new Transformer({
  modelType: "llama", vocabSize: 16, hiddenSize: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4,
  intermediateSize: 16, maxPositions: 8, norm: "rms", normEps: 1e-5, activation: "silu", gated: true,
  positions: "rope", ropeTheta: 10000, ropeStyle: "half", attentionBias: { qkv: false, out: false },
  mlpBias: false, tieWordEmbeddings: true, bosTokenId: null, eosTokenId: [],
}, normalInitializer(1));
const adapter = injectLora(model, { r: 2 });
const optimizer = new AdamW(adapter.parameters(), { lr: 1e-2 });
const ids = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const batch = {
  batchSize: 1, blockSize: 8, inputs: ids, targets: ids.map((id) => id + 1),
  starts: new Int32Array(8), positions: ids.map((_, i) => i),
};
const losses = [1, 2, 3, 4, 5].map(() => scope(() => {
  const loss = model.loss(batch);
  loss.backward();
  optimizer.step();
  optimizer.zeroGrad();
  return loss.item();
}));
console.log(JSON.stringify(losses));
`;

test("a bundle for the browser initialises and trains", () => {
  const path = bundle("training", training);
  const { status, output } = run(process.execPath, [path], workspace.path);
  assert.is(status, 0, output);
  const losses = JSON.parse(output) as number[];
  assert.is(losses.length, 5);
  assert.ok(losses[4]! < losses[0]!, output);
});

test("the bundle imports nothing, and nothing of the command is in it", () => {
  const code = readFileSync(bundle("training", training), "utf8");
  assert.not.match(code, /\b(import|from)\s*["'](node:|\.)/);
  assert.not.match(code, "lowrank-out");
});

test("what is not used is left out of a bundle, the engine too", () => {
  const path = bundle(
    "error",
    'import { LowrankError } from "lowrank"; console.log(new LowrankError("x").name);',
  );
  // The class and the line; the binaries alone would be 200 KB.
  assert.ok(readFileSync(path).length < 1000);
  assert.is(run(process.execPath, [path], workspace.path).output, "LowrankError\n");
});

test.after(() => workspace.remove());
test.run();
