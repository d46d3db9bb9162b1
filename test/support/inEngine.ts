// Tests in one engine, each of which must give back the memory it took.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";

export const engine: Engine = await Engine.create({ deterministic: true, threads: 1 });

/** Runs a test's body in the engine, which must hold no more memory afterwards than before. */
export function inEngine(name: string, body: () => void): void {
  test(name, () => {
    engine.run(() => {
      const { persistentBytes } = engine.stats();
      const idle = scratchAndArena();
      body();
      assert.is(engine.stats().persistentBytes - scratchAndArena(), persistentBytes - idle);
    });
  });
}

/** What the engine keeps for later scopes: grown once, not a leak. */
function scratchAndArena(): number {
  return engine.stats().scratchBytes;
}

engine.run(() => scope(() => zeros([70_000])));
