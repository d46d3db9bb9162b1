// A host that forbids compiling from bytes: importing lowrank must not fail there, `init` must say what to do,
// and a module that was compiled elsewhere must do.

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";

const Module = WebAssembly.Module;
const compiled = new Module(
  new Uint8Array(readFileSync(new URL("../../core.wasm", import.meta.url))),
);
const refusing = WebAssembly as { Module: unknown };
refusing.Module = class {
  constructor() {
    throw new Error("code generation disallowed");
  }
};
const { Engine } = await import("../../src/core/engine.ts");

test("without a module, init names the causes and the way out", async () => {
  try {
    await Engine.create({ threads: 1 });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, Error);
    const { name, message } = error as Error;
    assert.is(name, "UsageError");
    for (const part of ["disallowed", "2025-06-01", "wasm-unsafe-eval", "lowrank/core.wasm"]) {
      assert.ok(message.includes(part), message);
    }
  }
});

test("with a module that came from elsewhere the engine starts", async () => {
  const engine = await Engine.create({ threads: 1, module: compiled });
  assert.is(engine.threads, 1);
});

test.run();
