// Vectors of 256 bits. That V8's pairs change no bit is tried on the packed package (scripts/test-runtimes.mjs) and here, where
// this is a host that has them; the tiles made for them are tried everywhere.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { widenVectors } from "../../src/core/wideVectors.ts";
import { attention } from "../../src/tensor/attention.ts";
import { tensor } from "../../src/tensor/create.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";
import { withGlobal } from "../support/withGlobal.ts";

const all = await engines();

/** The message with which an engine is refused. */
async function refusal(make: () => Promise<Engine>): Promise<string> {
  try {
    (await make()).shutdown();
    return "";
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as UsageError).message;
  }
}
const wide = (): Promise<Engine> => Engine.create({ wideVectors: true, threads: 1 });

test("where V8 cannot be asked, wideVectors is refused with what was found and what to do", async () => {
  const message = await refusal(() => withGlobal("Deno", {}, wide));
  assert.match(message, /wideVectors needs Node 24 or newer on x64/);
  assert.match(message, /this is Deno\. Leave the option out/);
  assert.match(await refusal(() => withGlobal("Bun", {}, wide)), /this is Bun/);
  assert.match(await refusal(() => withGlobal("EdgeRuntime", "x", wide)), /an edge runtime/);
  if (Number.parseInt(process.versions.v8, 10) < 13) {
    assert.match(await refusal(wide), new RegExp(`this is Node ${process.versions.node} on`));
  }
});

/** A Node of another kind, whose V8's tag depends on the flags that it knows. */
function otherNode(versions: object, arch: string, known: RegExp): { node: object; set: string[] } {
  const set: string[] = [];
  const v8 = {
    setFlagsFromString: (flag: string) => set.push(flag),
    cachedDataVersionTag: () => set.filter((flag) => known.test(flag)).length,
  };
  return { node: { versions, arch, getBuiltinModule: () => v8 }, set };
}

test("a Node is asked for the flag only if it may have it, and refused if it has not", () => {
  const knows = /revectorize/;
  const cases = [
    { v8: "13.6.2", arch: "x64", known: knows, flags: 2, refused: null },
    { v8: "15.1", arch: "x64", known: /^$/, flags: 2, refused: /this is Node 99\.1\.0 on x64/ },
    { v8: "12.4", arch: "x64", known: knows, flags: 0, refused: /this is Node 99\.1\.0 on x64/ },
    { v8: "13.6", arch: "arm64", known: knows, flags: 0, refused: /Node 99\.1\.0 on arm64/ },
  ];
  for (const { v8, arch, known, flags, refused } of cases) {
    const { node, set } = otherNode({ node: "99.1.0", v8 }, arch, known);
    const ask = (): void => withGlobal("process", node, widenVectors);
    if (refused === null) ask();
    else assert.throws(ask, refused);
    assert.is(set.length, flags);
  }
});

interface Shape {
  readonly length: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly width: number;
  /** Every so many queries a new segment begins. */
  readonly segment?: number;
}

/** o, dq, dk and dv of attention, joined. */
function attentionBits(
  engine: Engine,
  { length, heads, keyHeads, width, segment }: Shape,
): Uint32Array {
  return engine.run(() =>
    scope(() => {
      const made = (seed: number, count: number): Tensor =>
        normal([2, length, count, width], { seed, requiresGrad: true });
      const [q, k, v] = [made(1, heads), made(2, keyHeads), made(3, keyHeads)];
      const begin = (i: number): number => (segment === undefined ? 0 : i - (i % segment));
      const starts = Int32Array.from({ length: 2 * length }, (_, i) => begin(i % length));
      const o = attention(q, k, v, { starts: tensor(starts, { shape: [2, length] }) });
      o.mul(normal(o.shape, { seed: 4 }))
        .sum()
        .backward();
      const parts = [o.toArray(), q.grad!, k.grad!, v.grad!].map((part) => [...part]);
      return new Uint32Array(Float32Array.from(parts.flat()).buffer);
    }),
  );
}

test("attention on wider tiles has the bits of the others, for widths that they divide and that they do not", () => {
  for (const { engine, name } of all) {
    for (const shape of [
      { length: 1, heads: 1, keyHeads: 1, width: 8 },
      { length: 9, heads: 2, keyHeads: 2, width: 24 },
      { length: 33, heads: 1, keyHeads: 1, width: 16, segment: 7 },
      { length: 70, heads: 4, keyHeads: 2, width: 40 },
      { length: 129, heads: 1, keyHeads: 1, width: 5, segment: 50 },
      { length: 150, heads: 2, keyHeads: 1, width: 32, segment: 37 },
    ]) {
      const [one, ...others] = [0, 1, 2, 3].map((form) => {
        engine.wasm.setTileForm(form);
        return attentionBits(engine, shape);
      });
      engine.wasm.setTileForm(0);
      for (const other of others) assert.equal(other, one, `${name} ${JSON.stringify(shape)}`);
    }
  }
});

// Pairs are made when code is compiled, so each way is a process of its own, and optimizes all code at once.
test("training with wideVectors gives the bits of training without", () => {
  if (Number.parseInt(process.versions.v8, 10) < 13 || process.arch !== "x64") {
    console.log("skipped: this Node's V8 does not pair vectors");
    return;
  }
  const program = fileURLToPath(new URL("./wideVectorsProgram.js", import.meta.url));
  for (const build of ["relaxed", "baseline"]) {
    const [plain, wide] = ["plain", "wide"].map((how) => {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        ["--no-liftoff", program, build, how],
        { encoding: "utf8" },
      );
      assert.is(status, 0, stderr);
      return stdout;
    });
    assert.match(plain!, new RegExp(`^${build} [0-9a-f]{64}\n$`));
    assert.is(wide, plain);
  }
});

test.run();
