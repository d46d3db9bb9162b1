// Vectors of 256 bits. That V8's pairs change no bit is tried on the packed package (scripts/test-runtimes.mjs) and here, where
// this is a host that has them; the tiles made for them are tried everywhere.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { attention } from "../../src/tensor/attention.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";

const all = await engines();

async function refusal(): Promise<string> {
  try {
    (await Engine.create({ wideVectors: true, threads: 1 })).shutdown();
    return "";
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as UsageError).message;
  }
}

test("where V8 cannot be asked, wideVectors is refused with what was found and what to do", async () => {
  const host = globalThis as { Deno?: unknown };
  host.Deno = {};
  const message = await refusal();
  delete host.Deno;
  assert.match(message, /wideVectors needs Node 24 or newer on x64/);
  assert.match(message, /this is Deno\. Leave the option out/);
});

test("a Node whose V8 is too old is refused by its version", async () => {
  if ("Float16Array" in globalThis) return;
  assert.match(await refusal(), new RegExp(`this is Node ${process.versions.node} on`));
});

/** o, dq, dk and dv of attention, joined. */
function attentionBits(engine: Engine, [length, heads, width]: readonly number[]): Uint32Array {
  return engine.run(() =>
    scope(() => {
      const shape = [2, length!, heads!, width!];
      const [q, k, v] = [1, 2, 3].map((seed) => normal(shape, { seed, requiresGrad: true })) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const o = attention(q, k, v);
      o.mul(normal(shape, { seed: 4 }))
        .sum()
        .backward();
      const parts = [o.toArray(), q.grad!, k.grad!, v.grad!].map((part) => [...part]);
      return new Uint32Array(Float32Array.from(parts.flat()).buffer);
    }),
  );
}

test("attention on tiles of 16 columns has the bits of the others, for widths that they divide and that they do not", () => {
  for (const { engine, name } of all) {
    for (const shape of [
      [1, 1, 8],
      [9, 2, 24],
      [33, 1, 16],
      [70, 2, 40],
      [129, 1, 5],
      [64, 2, 32],
    ]) {
      const [one, ...others] = [0, 1, 2, 3].map((form) => {
        engine.wasm.setTileForm(form);
        return attentionBits(engine, shape);
      });
      engine.wasm.setTileForm(0);
      for (const other of others) assert.equal(other, one, `${name} [${shape}]`);
    }
  }
});

// Pairs are made when code is compiled, so each way is a process of its own, and optimizes all code at once.
test("training with wideVectors gives the bits of training without", () => {
  if (!("Float16Array" in globalThis) || process.arch !== "x64") {
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
