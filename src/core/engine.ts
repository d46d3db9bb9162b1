// An engine: one linear memory, one instance of the WASM module on the main thread, and workers on the same
// memory. `init` makes the default engine; tests hold several builds and thread counts side by side.
//
//   Engine.create   compile or choose the module, make the memory, instantiate, start the workers if a number is given
//   engine.f32 ...  views of the whole memory, renewed after it has grown
//   engine.run(fn)  makes this engine the current one while fn runs

import { countLeft, countTaken, makeRoom } from "./collect.ts";
import { type ChosenModule, chooseModule, expectChosen } from "./compile.ts";
import { type EngineOptions, INITIAL_PAGES, maximumPages, PAGE } from "./engineOptions.ts";
import { LowrankError, MemoryError, UsageError } from "./error.ts";
import type { Exports } from "./exports.ts";
import { tileForm } from "./features.ts";
import { closedError, guarded, takeAway } from "./guard.ts";
import { expectFunction } from "./kind.ts";
import { Counter, type CounterName, Field, Flag, HEAP_TOP, Op, STATE } from "./op.ts";
import { structureChanged } from "./recording.ts";
import { expectSynchronous } from "./synchronous.ts";
import { checkThreads, makePool, type ThreadPool, WORTH_WORKERS } from "./threads.ts";
import { widenVectors } from "./wideVectors.ts";

const UNSHARED = STATE / 8 + Counter.unsharedNanoseconds;

/** The scope that a tensor belongs to; tensors of a closed scope are released. */
export interface Lifetime {
  alive: boolean;
  /** What to say of its tensors when it is over, if it is not a usual scope. */
  readonly over?: string;
  /** Is it that of a captured step, so that its tensors outlive the call? */
  readonly ofStep?: boolean;
}

/** The engine: its memory, its WASM module and its worker threads. `init` makes the default one. */
export class Engine {
  /** Which binary runs: plain SIMD, or relaxed SIMD with fused multiply-add. */
  readonly build: "baseline" | "relaxed";
  /** Was the build asked for that gives the same bits everywhere? */
  readonly deterministic: boolean;
  readonly wasm: Exports;
  /** Open scopes, outermost first. */
  readonly scopes: Lifetime[] = [];
  /** Is a segment open that backward runs again? */
  inSegment = false;
  /** Records of persistent tensors disposed of while a scope is open: the tape may still read them. */
  readonly #disposed: number[] = [];
  readonly #maximum: number;
  /** Null once the engine is closed. */
  #memory: WebAssembly.Memory | null;
  #pool: ThreadPool | null;
  /** Starts the workers, if that is yet to be done. */
  #start: (() => void) | null;
  /** Bytes that the views show. */
  #bytes = 0;
  #f32: Float32Array = new Float32Array();
  #i32: Int32Array = new Int32Array();
  #f64: Float64Array = new Float64Array();
  /** Makes the error that says why the engine cannot be used any more. */
  #over: (() => LowrankError) | null = null;

  private constructor(
    chosen: ChosenModule & { readonly deterministic: boolean },
    memory: WebAssembly.Memory,
    wasm: Exports,
    pool: ThreadPool | null,
    maximum: number,
  ) {
    this.build = expectChosen(chosen).build;
    this.deterministic = chosen.deterministic;
    this.wasm = guarded(wasm, {
      after: () => {
        // The counters lie where even an old view shows them.
        if (this.#start === null || (this.#f64[UNSHARED] ?? 0) < WORTH_WORKERS) return;
        this.#start();
        this.#start = null;
      },
      broke: (name, at, cause) => this.#break(name, at, cause),
    });
    this.#memory = memory;
    this.#maximum = maximum;
    this.#pool = pool;
    this.#start = pool?.start ?? null;
    this.#view(memory.buffer);
  }

  static async create(options: EngineOptions = {}): Promise<Engine> {
    const maximum = maximumPages(options);
    checkThreads(options.threads);
    const room = makeRoom();
    if (room !== null) await room;
    const deterministic = options.deterministic ?? false;
    const chosen = chooseModule({
      deterministic,
      ...(options.module === undefined ? {} : { module: options.module }),
    });
    const memory = new WebAssembly.Memory({
      initial: INITIAL_PAGES,
      maximum,
      shared: chosen.shared,
    });
    const instance = new WebAssembly.Instance(chosen.module, { env: { memory } });
    const wasm = instance.exports as unknown as Exports;
    const wideVectors = options.wideVectors ?? false;
    // Last of what may throw before the workers, since it changes the process.
    if (wideVectors) widenVectors();
    wasm.setup();
    wasm.setTileForm(tileForm(chosen.build, { wideVectors }));
    const { module, shared } = chosen;
    const wanted = { module, memory, wasm, count: options.threads, workerUrl: options.workerUrl };
    const pool = shared ? await makePool(wanted) : null;
    return new Engine({ ...chosen, deterministic }, memory, wasm, pool, maximum * PAGE);
  }

  /** Threads that large ops use now; when `init` was given no number, 1 until workers have been worth their start and come. */
  get threads(): number {
    return this.#pool?.threads ?? 1;
  }

  /** Ends the workers. The engine goes on with one thread; `close` ends it as a whole. */
  shutdown(): void {
    this.#start = null;
    this.#pool?.shutdown();
  }

  /**
   * Ends the engine: its workers, and all that lives in it. Tensors, models, optimizers and captured steps of it throw
   * ReleasedError when they are used; their `dispose()` does nothing. Its memory goes back to the host: in Node, Deno and
   * Bun at once where it is large, in a browser when that collects garbage.
   * @throws UsageError inside a scope or a captured step
   */
  close(): void {
    if (this.#memory === null) return;
    if (this.#over === null && this.scopes.length > 0) {
      throw new UsageError(
        "close() was called inside a scope or a captured step, which the engine still runs. Call it outside.",
      );
    }
    const gone = this.#pool?.shutdown();
    const bytes = this.memoryBytes;
    this.#end(closedError);
    this.#memory = null;
    this.#pool = null;
    this.#start = null;
    countLeft(bytes, gone);
  }

  /** After a trap no number can be trusted, and workers may wait for thread 0: frees them, and lets all uses throw. */
  #break(name: string, at: number, cause: unknown): LowrankError {
    const op = Object.values(Op).find(
      ({ code }) => name === "commit" && code === this.i32[at >>> 2],
    );
    const error = new LowrankError(
      `The engine broke in ${op?.name ?? name}: ${cause}. Its tensors are lost; make a new one with init().`,
      { cause },
    );
    this.wasm.abandon(0);
    this.shutdown();
    this.#end(() => error);
    return error;
  }

  /** Lets all uses throw from now on; what was the first to end the engine is what they name. */
  #end(over: () => LowrankError): void {
    this.#over ??= over;
    takeAway(this.wasm, this.#over);
    this.#view(new ArrayBuffer(0));
  }

  /** Throws when the engine has broken or is closed. */
  expectOpen(): void {
    if (this.#over !== null) throw this.#over();
  }

  /** Sees to it that the views cover all blocks. To ask the memory for its buffer each time would cost more than a view. */
  #renew(): void {
    // A view of memory that was grown still shows it, or when it cannot be shared, nothing.
    const top = this.#i32[HEAP_TOP >>> 2];
    if (top !== undefined && top >>> 0 <= this.#bytes) return;
    this.expectOpen();
    if (this.#memory !== null) this.#view(this.#memory.buffer);
  }

  #view(buffer: ArrayBufferLike): void {
    countTaken(Math.max(0, buffer.byteLength - this.#bytes));
    this.#bytes = buffer.byteLength;
    this.#f32 = new Float32Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#f64 = new Float64Array(buffer);
  }

  /** The whole memory as float32; do not keep it across calls that may allocate. */
  get f32(): Float32Array {
    this.#renew();
    return this.#f32;
  }

  /** The whole memory as int32; do not keep it across calls that may allocate. */
  get i32(): Int32Array {
    this.#renew();
    return this.#i32;
  }

  /** Frees a persistent tensor's record and data; at once, or when the outermost open scope has closed. */
  dispose(record: number): void {
    if (this.scopes.length > 0) this.#disposed.push(record);
    else this.#free(record);
  }

  #free(record: number): void {
    if (this.#over !== null) return;
    this.noteChange(record);
    this.wasm.dispose(record);
  }

  /** Tells captured steps that a tensor which they read has moved, has gone or trains otherwise now. */
  noteChange(record: number): void {
    if ((this.i32[(record + Field.flags) >>> 2] ?? 0) & Flag.Captured) structureChanged();
  }

  /** Closes the innermost scope. */
  closeScope(): void {
    this.wasm.closeScope();
    this.leaveScope();
  }

  /** Leaves the innermost scope, and with the outermost one frees what was disposed of meanwhile. */
  leaveScope(): void {
    this.scopes.pop();
    if (this.scopes.length > 0) return;
    for (const record of this.#disposed.splice(0)) this.#free(record);
  }

  /** Bytes of linear memory now; 0 of a closed engine. */
  get memoryBytes(): number {
    return this.#memory?.buffer.byteLength ?? 0;
  }

  /** Throws the error for a call that ran out of memory. */
  outOfMemory(what: string): never {
    const asked = this.wasm.failedBytes() >>> 0;
    throw new MemoryError(
      `Out of memory: ${what} asked for ${asked} bytes, while the engine holds ${this.memoryBytes} ` +
        `of at most ${this.#maximum}. Use a smaller batch or model, ${
          this.#maximum < 65536 * PAGE
            ? "dispose of tensors, or raise maximumMemory in init()."
            : "or dispose of tensors."
        }`,
    );
  }

  /** What the engine has counted since it started: bytes now, and events so far. */
  stats(): Record<CounterName, number> & { readonly threadWork: readonly number[] } {
    this.#renew();
    const counters = {} as Record<CounterName, number>;
    for (const name of Object.keys(Counter) as CounterName[]) {
      counters[name] = this.#f64[STATE / 8 + Counter[name]] ?? 0;
    }
    const threadWork = Array.from({ length: this.threads }, (_, t) => this.wasm.workDone(t));
    return { ...counters, threadWork };
  }

  /**
   * Makes this engine the current one while `fn` runs.
   * @throws UsageError when `fn` is async
   */
  run<T>(fn: () => T): T {
    expectFunction("What run() runs", fn);
    const before = currentEngine;
    currentEngine = this;
    try {
      return expectSynchronous(fn(), "run");
    } finally {
      currentEngine = before;
    }
  }
}

let currentEngine: Engine | null = null;
let defaultEngine: Engine | null = null;

/**
 * Makes the default engine ready: picks SIMD, relaxed SIMD and threads as the host allows. Call it once, before
 * anything else: a further call makes a new default engine and closes the former, with all that was made in it. Engines side
 * by side come from `Engine.create()`.
 */
export async function init(options: EngineOptions = {}): Promise<Engine> {
  const engine = await Engine.create(options);
  defaultEngine?.close();
  defaultEngine = engine;
  await makeRoom();
  return engine;
}

/** The engine that new tensors are made in. */
export function current(): Engine {
  const engine = currentEngine ?? defaultEngine;
  if (engine === null) {
    throw new UsageError("There is no engine yet. Call `await init()` once before using lowrank.");
  }
  return engine;
}
