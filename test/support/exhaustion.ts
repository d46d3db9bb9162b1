// Memory that runs out at a chosen place: the engine is filled up but for one hole, and the hole grows from run to run
// until what is tried finds all the room it needs. So each of its allocations fails once.

import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError } from "../../src/core/error.ts";

/** An engine that is small enough to be filled up. */
export function smallEngine(): Promise<Engine> {
  return Engine.create({ threads: 1, deterministic: true, maximumMemory: 2 ** 21 });
}

/** Bytes that are in use outside of the tape, whose empty chunks are given back first. */
export function bytesInUse(engine: Engine): number {
  assert.is(engine.wasm.allocate(2 ** 31), 0);
  const { persistentBytes, scratchBytes } = engine.stats();
  return persistentBytes - Math.ceil(scratchBytes / 64) * 64;
}

/** All memory but one hole of `bytes` bytes; the function returned gives it back. */
export function fillMemory(engine: Engine, bytes: number): () => void {
  const { wasm } = engine;
  const hole = wasm.allocate(bytes);
  assert.ok(hole !== 0);
  const taken: number[] = [];
  for (let size = 2 ** 20; size >= 64; size /= 2) {
    for (let at = wasm.allocate(size); at !== 0; at = wasm.allocate(size)) taken.push(at);
  }
  wasm.release(hole);
  return () => {
    for (const at of taken) wasm.release(at);
  };
}

/**
 * Runs `act` with more and more memory, at most 1 MiB, until it works. Whenever it fails, it must fail with a
 * MemoryError, `same` must be what it was, and no memory may stay taken.
 * @returns how often it failed
 */
export function failsCleanly<T>(
  engine: Engine,
  act: () => T,
  { step = 64, same = () => null }: { readonly step?: number; readonly same?: () => unknown } = {},
): { readonly failures: number; readonly result: T } {
  return engine.run(() => {
    for (let failures = 0; failures * step < 2 ** 20; failures++) {
      const bytes = bytesInUse(engine);
      const before = same();
      const giveBack = fillMemory(engine, failures * step + 64);
      try {
        return { failures, result: act() };
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
      } finally {
        giveBack();
      }
      // A block may be one line longer than it need be; a tensor's record alone takes three.
      const leaked = bytesInUse(engine) - bytes;
      assert.ok(leaked < 192, `${leaked} bytes leaked with ${failures * step} left`);
      assert.equal(same(), before, `with ${failures * step} bytes left`);
    }
    throw new Error("It never worked.");
  });
}
