// Tests in one engine, each of which must give back the memory it took.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { capture } from "../../src/tensor/capture.ts";
import { zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";

export const engine: Engine = await Engine.create({ deterministic: true, threads: 1 });
// Some scratch from the start: made later, where another block was, it may be a line longer than it need be.
engine.run(() => scope(() => zeros([8, 8]).matmul(zeros([8, 8]))).dispose());

/** Bytes that tensors and programs hold: without scratch and the arena, which grow once and stay. */
export function heldBytes(engine: Engine): number {
  // Capturing gives the memory of an idle arena back.
  const nothing = capture(() => {});
  engine.run(() => nothing());
  nothing.dispose();
  const { persistentBytes, scratchBytes } = engine.stats();
  return persistentBytes - scratchBytes;
}

/** Runs a test's body in the engine, which must hold no more memory afterwards than before. */
export function inEngine(name: string, body: () => void): void {
  test(name, () => {
    const before = heldBytes(engine);
    engine.run(body);
    assert.is(heldBytes(engine), before);
  });
}
