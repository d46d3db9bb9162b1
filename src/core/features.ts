// What the host can do, asked of the host itself and never of its name: tiny modules that validate only where a
// feature exists, a shared memory that can be made, a wait that is allowed. Only the edge runtimes are told by
// their names, since what they forbid cannot be probed without being stopped for it.

import { wrongKind } from "./kind.ts";

/** Where workers come from: `node:worker_threads` (Node, Deno, Bun), the web's `Worker`, or nowhere. */
export type ThreadKind = "node" | "web" | "none";

/** A feature of WebAssembly: what lowrank cannot do without (SIMD, atomics), and what it uses where it is. */
export type Feature = "simd" | "relaxedSimd" | "threads";

/** Most threads that are used when the caller names no number. */
const DEFAULT_LIMIT = 8;

// Each is a whole module with one function; the comment is the function's body.
const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const RETURNS_V128 = [1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
const PROBES: Readonly<Record<Feature, readonly number[]>> = {
  // i32.const 0, i8x16.splat, i8x16.popcnt
  simd: [...HEAD, ...RETURNS_V128, 10, 10, 1, 8, 0, 0x41, 0, 0xfd, 15, 0xfd, 98, 11],
  // two splats of 0, i8x16.relaxed_swizzle
  relaxedSimd: [
    ...[...HEAD, ...RETURNS_V128, 10, 15, 1, 13, 0],
    ...[0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15, 0xfd, 0x80, 2, 11],
  ],
  // a shared memory of one page; i32.const 0, i32.atomic.load, drop
  threads: [
    ...[...HEAD, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1],
    ...[10, 11, 1, 9, 0, 0x41, 0, 0xfe, 16, 2, 0, 0x1a, 11],
  ],
};

/** Whether the host's WebAssembly has the feature. That it has threads does not mean that workers can be had. */
export function hasFeature(feature: Feature): boolean {
  if (typeof feature !== "string" || !Object.hasOwn(PROBES, feature)) {
    throw wrongKind("The feature", feature, `one of ${Object.keys(PROBES).join(", ")}`);
  }
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(PROBES[feature]));
}

/** Whether a memory can be shared at all; some pages without isolation cannot make one. */
export function canShareMemory(): boolean {
  if (!hasFeature("threads")) return false;
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.byteLength > 0;
  } catch {
    return false;
  }
}

/** Whether this thread may sleep on a word of the shared memory. A page's main thread may not. */
export function mayWait(memory: WebAssembly.Memory): boolean {
  try {
    const words = new Int32Array(memory.buffer, 0, 1);
    // Not equal, so that it returns at once where it is allowed.
    return Atomics.wait(words, 0, Atomics.load(words, 0) + 1, 0) === "not-equal";
  } catch {
    return false;
  }
}

interface Host {
  readonly EdgeRuntime?: unknown;
  readonly Worker?: unknown;
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: { readonly userAgent?: string; readonly hardwareConcurrency?: number };
  readonly process?: { readonly getBuiltinModule?: (name: string) => unknown };
}

const host = globalThis as unknown as Host;

/** Whether this is an isolate at the edge (workerd, edge-runtime): no threads, and bytes compile only at start. */
export function isEdge(): boolean {
  return (
    host.navigator?.userAgent === "Cloudflare-Workers" || typeof host.EdgeRuntime !== "undefined"
  );
}

/** One of the host's own modules such as `node:worker_threads`, without an import that bundlers would follow. */
export function builtinModule(name: string): unknown {
  if (isEdge()) return undefined;
  try {
    return host.process?.getBuiltinModule?.(name);
  } catch {
    return undefined;
  }
}

/** How workers can be started here. */
export function threadKind(): ThreadKind {
  if (!mayHaveWorkers()) return "none";
  const threads = builtinModule("node:worker_threads") as { Worker?: unknown } | undefined;
  if (threads?.Worker !== undefined) return "node";
  return hasWebWorkers() ? "web" : "none";
}

/** Whether there may be workers, told without `node:worker_threads`, for whose first import Node takes milliseconds. */
export function mayHaveWorkers(): boolean {
  return hasBuiltinModules() || (!isEdge() && hasWebWorkers());
}

/** Whether this is Node, or Deno or Bun, which have its modules. */
export function hasBuiltinModules(): boolean {
  return !isEdge() && typeof host.process?.getBuiltinModule === "function";
}

function hasWebWorkers(): boolean {
  return typeof host.Worker !== "undefined" && host.crossOriginIsolated === true;
}

/** Threads to use when the caller names no number: the cores there are, at most 8; 1 where there are no workers. */
export function defaultThreads(): number {
  if (threadKind() === "none" || !canShareMemory()) return 1;
  const os = builtinModule("node:os") as { availableParallelism?: () => number } | undefined;
  const cores = host.navigator?.hardwareConcurrency ?? os?.availableParallelism?.() ?? 1;
  return Math.max(1, Math.min(cores, DEFAULT_LIMIT));
}

/**
 * The tiles that matrix products use (assembly/gemm/blocking.ts): 0 and 1 are 4x8, 2 is 2x24, 3 is 4x16. Where each load is
 * checked against the memory's bounds by code, not by guard pages, the one with the fewest loads (1) is fastest. 2x24 is in
 * Bun, and for fused sums wherever its registers do not spill: not in V8 before 13, which has no Float16Array. 4x16 would
 * spill everywhere, but for vectors that the host pairs (wideVectors.ts) it has few enough.
 */
export function tileForm(
  build: "baseline" | "relaxed",
  { wideVectors }: { readonly wideVectors: boolean } = { wideVectors: false },
): 0 | 1 | 2 | 3 {
  if (isEdge() || "Deno" in globalThis) return 1;
  if (build === "relaxed" && wideVectors) return 3;
  const holds = build === "relaxed" && "Float16Array" in globalThis;
  return holds || "Bun" in globalThis ? 2 : 0;
}
