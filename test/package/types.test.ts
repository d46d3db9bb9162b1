// The declarations in a user's program: without the DOM library, without Node's types, and checked themselves.

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { install, makeWorkspace, packProject, root, tool } from "./installed.ts";

const workspace = makeWorkspace("types");
const folder = install(packProject(workspace.path).path, workspace.path);

const program = `
import core from "lowrank/core.wasm";
import * as everything from "lowrank";
import { AdamW, type EngineOptions, init, injectLora, loadModel, scope, type Tensor } from "lowrank";

export const options: EngineOptions = { module: core, workerUrl: "/worker.js" };

export async function train(): Promise<number> {
  await init(options);
  const model = await loadModel({ "config.json": new Uint8Array(0) });
  const adapter = injectLora(model, { r: 8 });
  const optimizer = new AdamW(adapter.parameters(), { lr: 1e-3 });
  return scope(() => {
    const loss: Tensor = everything.zeros([1]);
    optimizer.step();
    return loss.item();
  });
}
`;

writeFileSync(join(folder, "program.ts"), program);
for (const name of ["@types/node", "undici-types"]) {
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name), "dir");
}

const environments = {
  "neither the DOM library nor Node's types": { lib: ["es2022"], types: [] },
  "the DOM library": { lib: ["es2022", "dom"], types: [] },
  "Node's types": { lib: ["es2024"], types: ["node"] },
};
const resolutions = {
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
};

for (const [environment, libraries] of Object.entries(environments)) {
  for (const [resolution, modules] of Object.entries(resolutions)) {
    test(`the declarations compile with ${environment} (${resolution})`, () => {
      const compilerOptions = {
        target: "es2022",
        strict: true,
        noEmit: true,
        // Node's own declarations need not pass; those of the package are checked in the other two.
        skipLibCheck: libraries.types.length > 0,
        ...libraries,
        ...modules,
      };
      const config = { compilerOptions, files: ["program.ts"] };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
      const { status, output } = tool("typescript", "bin/tsc", ["-p", "."], folder);
      assert.is(output, "");
      assert.is(status, 0);
    });
  }
}

test.after(() => workspace.remove());
test.run();
