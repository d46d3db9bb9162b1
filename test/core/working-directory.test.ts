import { spawnSync } from "node:child_process";
import nodeFs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { kindOfPath } from "../../src/core/files.ts";
import { temporaryPaths } from "../support/temporary.ts";

const path = temporaryPaths("working-directory");

test("in a working directory that was deleted relative paths are refused at once, whole ones work", () => {
  const [gone, whole] = [path(), path()];
  const modules = (name: string) =>
    JSON.stringify(new URL(`../../src/core/${name}`, import.meta.url).href);
  const program = `
    import { makeDirectory, writeFile, absolutePath } from ${modules("files.js")};
    import { writeDirectory } from ${modules("directory-writer.js")};
    import { rmdirSync } from "node:fs";
    const files = new Map([["a", new Uint8Array(1)]]);
    const [early] = process.argv.slice(2);
    if (early === "known") process.cwd();
    rmdirSync(${JSON.stringify(gone)});
    for (const action of [
      () => makeDirectory("x/y"),
      () => makeDirectory("."),
      () => absolutePath("x"),
      () => writeDirectory("x", files),
      () => writeFile("x/y", new Uint8Array(1)),
    ]) {
      try {
        action();
        console.log("done");
      } catch (error) {
        console.log(error.name, error.message);
      }
    }
    makeDirectory(${JSON.stringify(whole)});
  `;
  const script = `${path()}.mjs`;
  nodeFs.writeFileSync(script, program);
  for (const early of ["known", "unknown"]) {
    nodeFs.mkdirSync(gone, { recursive: true });
    const { stdout, stderr, status } = spawnSync(process.execPath, [script, early], {
      cwd: gone,
      encoding: "utf8",
      timeout: 20_000,
    });
    assert.is(status, 0, stderr);
    const lines = stdout.trim().split("\n");
    assert.is(lines.length, 5);
    for (const line of lines.slice(0, 4)) {
      assert.match(line, /^LowrankError The working directory was deleted, .* give whole paths\.$/);
    }
    assert.match(lines[4]!, /^LowrankError Could not write "x\/y": there is no such file/);
  }
  assert.is(kindOfPath(whole), "directory");
});

test.run();
