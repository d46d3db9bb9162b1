// The engines that every kernel is tested in: both binaries, with one thread and with two.

import v8 from "node:v8";
import type { Engine } from "../../src/core/engine.ts";

// Node 20 has relaxed SIMD behind a flag; newer versions have it and ignore the flag.
v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

const core = await import("../../src/core/engine.ts");

export interface NamedEngine {
  readonly name: string;
  readonly engine: Engine;
}

/** baseline and relaxed, with 1 and 2 threads, in this order: baseline 1, baseline 2, relaxed 1, relaxed 2. */
export async function engines(): Promise<NamedEngine[]> {
  const made: NamedEngine[] = [];
  for (const deterministic of [true, false]) {
    for (const threads of [1, 2]) {
      const engine = await core.Engine.create({ deterministic, threads });
      const expected = deterministic ? "baseline" : "relaxed";
      if (engine.build !== expected)
        throw new Error(`wanted the ${expected} build, got ${engine.build}`);
      if (engine.threads !== threads)
        throw new Error(`wanted ${threads} threads, got ${engine.threads}`);
      made.push({ name: `${expected}, ${threads} thread${threads > 1 ? "s" : ""}`, engine });
    }
  }
  return made;
}
