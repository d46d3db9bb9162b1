// The memory of engines that are gone. WebAssembly cannot give memory back: the host does, once its collector has found
// that nothing refers to it. V8 does not count shared memory when it decides whether to collect, so a program that makes
// one engine after the other would run out of memory first. So what engines take and let go of is counted here, and the
// host is asked to collect. A browser offers nothing to ask.

import { builtinModule } from "./features.ts";

/** Bytes that are worth a collection, which takes milliseconds. */
const WORTH = 1 << 28;

interface Host {
  readonly gc?: () => void;
  readonly Bun?: { readonly gc?: (synchronous: boolean) => void };
}

/** The longest wait for workers, in milliseconds: they end in a few, if they have started, and never if they hang. */
const PATIENCE = 1000;

/** Bytes that engines have taken, and those that closed ones have let go of, since the last collection. */
let moved = 0;
/** Bytes of closed engines whose workers are still about to end: until then they hold the memory as well. */
const held = new Map<Promise<unknown>, number>();
let collector: (() => void) | null | undefined;

/** The host's collector: Bun's, or that of V8, which it shows to a context made while a flag is set. */
function findCollector(): (() => void) | null {
  const { gc, Bun } = globalThis as unknown as Host;
  if (typeof Bun?.gc === "function") {
    const collect = Bun.gc;
    return () => collect(true);
  }
  if (typeof gc === "function") return gc;
  const v8 = builtinModule("node:v8") as { setFlagsFromString(flags: string): void } | undefined;
  const vm = builtinModule("node:vm") as { runInNewContext(code: string): unknown } | undefined;
  if (v8 === undefined || vm === undefined) return null;
  try {
    v8.setFlagsFromString("--expose-gc");
    const found = vm.runInNewContext("gc");
    return typeof found === "function" ? (found as () => void) : null;
  } catch {
    return null;
  } finally {
    v8.setFlagsFromString("--no-expose-gc");
  }
}

/** Counts bytes that an engine has taken. */
export function countTaken(bytes: number): void {
  moved += bytes;
}

/** Counts bytes that a closed engine has let go of; its workers let go when they are `gone`. What is large goes at once. */
export function countLeft(bytes: number, gone: Promise<unknown> | undefined): void {
  moved += bytes;
  if (gone !== undefined) {
    held.set(gone, bytes);
    void gone.then(() => held.delete(gone));
  }
  collect();
}

function collect(): void {
  if (moved < WORTH) return;
  moved = 0;
  if (collector === undefined) collector = findCollector();
  collector?.();
}

/**
 * Has the host give back, as far as it can be moved to, the memory of engines that are gone. Null when that is done, else
 * what to wait for.
 */
export function makeRoom(): Promise<void> | null {
  const bytes = [...held.values()].reduce((sum, n) => sum + n, 0);
  if (bytes >= WORTH) return waitForWorkers(bytes);
  collect();
  return null;
}

async function waitForWorkers(bytes: number): Promise<void> {
  await inTime(Promise.all(held.keys()));
  // Of workers that have not come by now nobody knows.
  held.clear();
  // What this thread sent to them is garbage only now.
  moved += bytes;
  collect();
}

/** Comes back with the promise, or when patience has ended. */
async function inTime(promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
