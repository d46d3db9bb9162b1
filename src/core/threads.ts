// Worker threads: each is an instance of the engine's module on the same memory that runs `serve` until a word
// in that memory tells it to go (assembly/tape/launch.ts). Its script is a string, because bundlers lose files, and
// is started from a data: URL, the one kind that Node, Deno, Bun and browsers all accept.
// Workers never keep a process alive, and are never terminated: Deno and Bun hang when a spinning one is.

import { UsageError } from "./error.ts";
import {
  builtinModule,
  defaultThreads,
  hasBuiltinModules,
  mayWait,
  threadKind,
} from "./features.ts";
import { kindOf } from "./kind.ts";
import { optionName } from "./wording.ts";

/** What the engine's module exports for its threads. */
export interface ThreadExports {
  gatherThreads(): number;
  setThreads(count: number, mayWait: number): void;
  threadReady(thread: number): number;
  shutdown(): void;
}

/**
 * Estimated time of shareable jobs after which late workers are started, in nanoseconds: about what their start takes of
 * this thread. To have waited then costs no more than a start in vain, and programs of small ops never pay for threads.
 */
export const WORTH_WORKERS = 10e6;

/** What to start. */
export interface ThreadOptions {
  readonly module: WebAssembly.Module;
  /** The shared memory of the engine; one pool a memory. */
  readonly memory: WebAssembly.Memory;
  /** The exports of the main thread's instance. */
  readonly wasm: ThreadExports;
  /** Threads wanted, the main one included; as many as the host has cores, at most 8, when left out. */
  readonly count?: number | undefined;
  /** A script that does what `workerSource` does, for pages whose content policy forbids `data:` workers. */
  readonly workerUrl?: string | URL | undefined;
  /** How long to wait for the workers, in milliseconds; those that come later get no work. Default 5000. */
  readonly timeout?: number;
}

/** The running workers. */
export interface ThreadPool {
  /** Threads that jobs use, the main one included; 1 after `shutdown`. */
  readonly threads: number;
  /** Lets the workers end; jobs run on the main thread from now on. What it gives is kept when they are gone, where the host says so. */
  shutdown(): Promise<unknown>;
  /** Starts the workers, where that is yet to be done, and does not wait: each gets work from when it serves. */
  readonly start?: () => void;
}

/** The workers' script. Its one message brings the module, the memory and the number of the thread. */
export const workerSource: string = `
let port = null;
try { port = globalThis.process?.getBuiltinModule?.("node:worker_threads")?.parentPort ?? null; } catch {}
function start({ module, memory, thread }) {
  const { serve, abandon } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  try { serve(thread); } catch { abandon(thread); }
  // In Deno it is not the port that closes.
  (port?.close ? port : globalThis).close();
}
if (port) port.once("message", start);
else self.onmessage = (event) => start(event.data);
`;

interface HostWorker {
  postMessage(message: unknown): void;
}

interface NodeWorker extends HostWorker {
  on(event: "error" | "exit", listener: () => void): void;
  unref(): void;
}

interface WebWorker extends HostWorker {
  onerror: ((event: { preventDefault?: () => void }) => void) | null;
}

/** A worker that was started, and when it has ended; the web says that of none. */
interface Spawned {
  readonly worker: HostWorker;
  readonly gone: Promise<void>;
}

function spawn(workerUrl: string | URL | undefined, failed: () => void): Spawned {
  const url = workerUrl ?? `data:text/javascript,${encodeURIComponent(workerSource)}`;
  if (threadKind() === "node") {
    const { Worker } = builtinModule("node:worker_threads") as {
      Worker: new (url: URL) => NodeWorker;
    };
    const worker = new Worker(new URL(url));
    worker.on("error", failed);
    worker.unref();
    return { worker, gone: new Promise((resolve) => worker.on("exit", resolve)) };
  }
  const { Worker } = globalThis as unknown as {
    Worker: new (url: string | URL, options: { type: "module" }) => WebWorker;
  };
  const worker = new Worker(url, { type: "module" });
  worker.onerror = (event) => {
    event.preventDefault?.();
    failed();
  };
  return { worker, gone: Promise.resolve() };
}

/** Starts `count − 1` workers; fewer where the host refuses. `failed` is called then, also when one ends early. */
function spawnAll(options: ThreadOptions, failed: () => void): Spawned[] {
  const { module, memory, count = defaultThreads(), workerUrl } = options;
  const workers: Spawned[] = [];
  if (count === 1 || threadKind() === "none") return workers;
  try {
    for (let thread = 1; thread < count; thread++) {
      const spawned = spawn(workerUrl, failed);
      spawned.worker.postMessage({ module, memory, thread });
      workers.push(spawned);
    }
  } catch {
    failed();
  }
  return workers;
}

/**
 * Starts `count − 1` workers and waits until they serve. When some do not (no workers here, forbidden by a content
 * policy, too slow), the pool has fewer threads, down to one; that is never an error.
 */
export async function startThreads(options: ThreadOptions): Promise<ThreadPool> {
  const { memory, wasm } = options;
  let lost = false;
  const workers = spawnAll(options, () => {
    lost = true;
  });
  let ready = 1;
  const deadline = performance.now() + (options.timeout ?? 5000);
  for (;;) {
    while (ready <= workers.length && wasm.threadReady(ready) !== 0) ready++;
    if (lost || ready > workers.length || performance.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // Whoever comes later sleeps until it is sent home.
  wasm.setThreads(ready, mayWait(memory) ? 1 : 0);
  if (ready === 1) wasm.shutdown();
  return poolOf(wasm, workers);
}

/** A pool of one thread until `start`; then it grows as workers come, for which this thread need not idle. */
export function lateThreads(options: ThreadOptions): ThreadPool {
  const { memory, wasm } = options;
  const workers: Spawned[] = [];
  return Object.assign(poolOf(wasm, workers), {
    start: () => {
      workers.push(...spawnAll(options, () => {}));
      wasm.setThreads(workers.length + 1, mayWait(memory) ? 1 : 0);
    },
  });
}

/** @throws {UsageError} for a number of threads that no engine can have. */
export function checkThreads(count: number | undefined): void {
  if (count === undefined || (Number.isInteger(count) && count >= 1 && count <= 64)) return;
  throw new UsageError(
    `${optionName("threads")} is ${kindOf(count)}; it must be a whole number from 1 to 64.`,
  );
}

/** The pool of an engine: of `count` threads that are there, or without a count one that starts late if it can. */
export async function makePool(options: ThreadOptions): Promise<ThreadPool | null> {
  // On the web a worker starts only while this thread is idle, which a program may never be.
  if (options.count === undefined && hasBuiltinModules()) return lateThreads(options);
  const count = options.count ?? defaultThreads();
  return count > 1 ? startThreads({ ...options, count }) : null;
}

/** A pool around the workers, which keeps them from being collected while they serve. */
function poolOf(wasm: ThreadExports, workers: Spawned[]): ThreadPool {
  return {
    get threads(): number {
      return wasm.gatherThreads();
    },
    shutdown(): Promise<unknown> {
      wasm.shutdown();
      return Promise.all(workers.splice(0).map(({ gone }) => gone));
    },
  };
}
