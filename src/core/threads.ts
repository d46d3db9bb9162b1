// Worker threads: each is an instance of the engine's module on the same memory that runs `serve` until a word
// in that memory tells it to go (assembly/parallel.ts). Its script is a string, because bundlers lose files, and
// is started from a data: URL, the one kind that Node, Deno, Bun and browsers all accept.
//
// Workers never keep a process alive, and are never terminated: Deno and Bun hang when a spinning one is.

import { builtinModule, mayWait, threadKind } from "./features.ts";

/** What the engine's module exports for its threads. */
export interface ThreadExports {
  gatherThreads(): number;
  setThreads(count: number, mayWait: number): void;
  threadReady(thread: number): number;
  shutdown(): void;
}

/** What to start. */
export interface ThreadOptions {
  readonly module: WebAssembly.Module;
  /** The shared memory of the engine; one pool a memory. */
  readonly memory: WebAssembly.Memory;
  /** The exports of the main thread's instance. */
  readonly wasm: ThreadExports;
  /** Threads wanted, the main one included. */
  readonly count: number;
  /** A script that does what `workerSource` does, for pages whose content policy forbids `data:` workers. */
  readonly workerUrl?: string | URL;
  /** How long to wait for the workers, in milliseconds; those that come later get no work. Default 5000. */
  readonly timeout?: number;
  /** Do not wait where workers start by themselves; they get work from when they serve. Default false. */
  readonly early?: boolean;
}

/** The running workers. */
export interface ThreadPool {
  /** Threads that jobs use, the main one included; 1 after `shutdown`. */
  readonly threads: number;
  /** Lets the workers end; jobs run on the main thread from now on. */
  shutdown(): void;
}

/** The workers' script. Its one message brings the module, the memory and the number of the thread. */
export const workerSource: string = `
let port = null;
try { port = globalThis.process?.getBuiltinModule?.("node:worker_threads")?.parentPort ?? null; } catch {}
function start({ module, memory, thread }) {
  const { serve, abandon } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  try { serve(thread); } catch { abandon(thread); }
  (port ?? self).close();
}
if (port) port.once("message", start);
else self.onmessage = (event) => start(event.data);
`;

interface Spawned {
  postMessage(message: unknown): void;
}

interface NodeWorker extends Spawned {
  on(event: "error", listener: () => void): void;
  unref(): void;
}

interface WebWorker extends Spawned {
  onerror: ((event: { preventDefault?: () => void }) => void) | null;
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
    return worker;
  }
  const { Worker } = globalThis as unknown as {
    Worker: new (url: string | URL, options: { type: "module" }) => WebWorker;
  };
  const worker = new Worker(url, { type: "module" });
  worker.onerror = (event) => {
    event.preventDefault?.();
    failed();
  };
  return worker;
}

/**
 * Starts `count − 1` workers and waits until they serve, or with `early` lets the pool grow as they come. When some do
 * not (no workers here, forbidden by a content policy, too slow), it has fewer threads, down to one; that is never an
 * error.
 */
export async function startThreads(options: ThreadOptions): Promise<ThreadPool> {
  const { module, memory, wasm, count } = options;
  // The workers themselves, so that none is collected while it serves.
  const workers: Spawned[] = [];
  let lost = false;
  if (threadKind() !== "none") {
    try {
      for (let thread = 1; thread < count; thread++) {
        const worker = spawn(options.workerUrl, () => {
          lost = true;
        });
        worker.postMessage({ module, memory, thread });
        workers.push(worker);
      }
    } catch {
      lost = true;
    }
  }

  // On the web a worker starts only while this thread is idle, which a program may never be.
  if (options.early === true && threadKind() === "node") {
    wasm.setThreads(workers.length + 1, mayWait(memory) ? 1 : 0);
    return poolOf(wasm, workers);
  }
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

function poolOf(wasm: ThreadExports, workers: Spawned[]): ThreadPool {
  return {
    get threads(): number {
      return wasm.gatherThreads();
    },
    shutdown(): void {
      wasm.shutdown();
      workers.length = 0;
    },
  };
}
