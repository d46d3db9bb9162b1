// The lower rungs of the ladder to a fast matrix product: three loops in TypeScript, and those of assembly/ladder.ts.

import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import type { Core } from "./build.ts";

type Rung = (m: number, n: number, k: number, a: number, b: number, c: number, s: number) => void;

/** The lower rungs, as assembly/ladder.ts exports them, in its order. */
export const RUNGS = ["dots", "rows", "lanes", "tiles", "panels"] as const;

/** The lower rungs over a core's memory. */
export function loadRungs(core: Core): Readonly<Record<(typeof RUNGS)[number], Rung>> {
  const bytes = readFileSync(new URL("../ladder.wasm", import.meta.url));
  return instantiateSync<Record<(typeof RUNGS)[number], Rung>>(bytes, {
    env: { memory: core.memory },
  }).exports;
}

/** C [n, n] = A [n, n] · B [n, n], as one writes it first. */
export function loops(n: number, a: Float32Array, b: Float32Array, c: Float32Array): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < n; p++) {
        sum = Math.fround(sum + Math.fround((a[i * n + p] ?? 0) * (b[p * n + j] ?? 0)));
      }
      c[i * n + j] = sum;
    }
  }
}
