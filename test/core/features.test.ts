// What the host can do, and which module is compiled for it.

import { readFileSync } from "node:fs";
import v8 from "node:v8";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chooseModule } from "../../src/core/compile.ts";
import { UsageError } from "../../src/core/error.ts";
import {
  canShareMemory,
  defaultThreads,
  hasFeature,
  isEdge,
  mayWait,
  threadKind,
} from "../../src/core/features.ts";
import { withUnsharedMemory } from "../../src/core/sharedFlag.ts";
import { withGlobal } from "../support/withGlobal.ts";

const wasm = new Uint8Array(readFileSync(new URL("../../core.wasm", import.meta.url)));

test("every Node that is supported has SIMD, atomics, shared memory, waits and workers", () => {
  assert.ok(hasFeature("simd"));
  assert.ok(hasFeature("threads"));
  assert.ok(canShareMemory());
  assert.ok(mayWait(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })));
  assert.is(threadKind(), "node");
  assert.ok(defaultThreads() >= 1 && defaultThreads() <= 8);
});

test("waiting is not allowed on memory that is not shared", () => {
  assert.not(mayWait(new WebAssembly.Memory({ initial: 1, maximum: 1 })));
});

test("the probe for relaxed SIMD follows the engine's flag", () => {
  if (Number(process.versions.node.split(".")[0]) < 22) assert.not(hasFeature("relaxedSimd"));
  v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  assert.ok(hasFeature("relaxedSimd"));
});

test("a page that is isolated has web workers, one that is not has none", () => {
  withGlobal("process", undefined, () => {
    withGlobal("Worker", class {}, () => {
      withGlobal("crossOriginIsolated", true, () => assert.is(threadKind(), "web"));
      withGlobal("crossOriginIsolated", false, () => assert.is(threadKind(), "none"));
      assert.is(threadKind(), "none");
    });
    withGlobal("Worker", undefined, () => assert.is(threadKind(), "none"));
  });
});

test("an edge isolate has no workers and takes the baseline build, whatever else it offers", () => {
  withGlobal("navigator", { userAgent: "Cloudflare-Workers", hardwareConcurrency: 1 }, () => {
    assert.ok(isEdge());
    assert.is(threadKind(), "none");
    assert.is(defaultThreads(), 1);
    assert.is(chooseModule({ deterministic: false }).build, "baseline");
  });
  withGlobal("EdgeRuntime", "edge-runtime", () => assert.is(threadKind(), "none"));
  assert.not(isEdge());
});

test("clearing the shared flag changes one byte and makes the module take an unshared memory", () => {
  const unshared = withUnsharedMemory(wasm);
  const changed = [...unshared.keys()].filter((i) => unshared[i] !== wasm[i]);
  assert.is(changed.length, 1);
  const at = changed[0] ?? 0;
  assert.equal([wasm[at], unshared[at]], [3, 1]);
  const instantiate = (bytes: Uint8Array, shared: boolean): WebAssembly.Instance => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 64, shared });
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  };
  assert.ok(instantiate(unshared, false));
  assert.ok(instantiate(wasm, true));
  assert.throws(() => instantiate(wasm, false));
});

test("the flag is found behind imports of other kinds", () => {
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  const entry = (...rest: number[]): number[] => [...name("env"), ...name("x"), ...rest];
  const imports = [
    ...entry(0, 0), // a function of type 0
    ...entry(1, 0x70, 1, 1, 0x80, 1), // a table of 1 to 128 functions
    ...entry(3, 0x7f, 0), // an immutable i32
    ...entry(2, 3, 1, 0x80, 0x80, 4), // a shared memory of 1 to 65536 pages
  ];
  const bytes = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[0, 3, ...name("ab")], // a custom section
    ...[1, 4, 1, 0x60, 0, 0],
    ...[2, imports.length + 1, 4, ...imports],
  ]);
  const unshared = withUnsharedMemory(bytes);
  const flag = bytes.length - 5;
  assert.ok(WebAssembly.validate(bytes));
  assert.ok(WebAssembly.validate(unshared));
  assert.is(unshared[flag], 1);
  assert.equal(unshared.with(flag, 3), bytes);
});

test("a deterministic engine takes the baseline, another one the relaxed build where there is one", () => {
  v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  assert.is(chooseModule({ deterministic: true }).build, "baseline");
  assert.is(chooseModule({ deterministic: false }).build, "relaxed");
  assert.ok(chooseModule({ deterministic: true }).shared);
  const again = chooseModule({ deterministic: false });
  assert.is(again.module, chooseModule({ deterministic: false }).module, "compiled once");
});

test("a given module is taken, and anything else is refused by name", () => {
  const module = new WebAssembly.Module(wasm);
  assert.is(chooseModule({ deterministic: false, module }).module, module);
  assert.is(chooseModule({ deterministic: false, module }).build, "baseline");
  const wrong = wasm as unknown as WebAssembly.Module;
  assert.throws(
    () => chooseModule({ deterministic: true, module: wrong }),
    (error: unknown) => error instanceof UsageError && error.message.includes("Uint8Array"),
  );
});

test.run();
