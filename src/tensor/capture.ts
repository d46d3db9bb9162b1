// A training step that is recorded once and then runs again as one call into the engine: forward, backward, clipping
// and the optimizer's update, on inputs that are written in place. The same bits as calling the function each time.
//
//   const step = capture((batch: TokenBatch) => {
//     const loss = model.loss(batch);
//     loss.backward();
//     optimizer.step();
//     optimizer.zeroGrad();
//     return loss;
//   });
//   for (const batch of data.batches(50)) console.log(step(batch).item());
//
// What the function does in TypeScript it does only when it is recorded. It is recorded anew when something it was
// seen to rest on is not as it was: what it read of its arguments (of an array of numbers only the length: numbers
// are for tensors), the modules and adapters in use, their training mode, which parameters train, gradients that were
// left elsewhere. Arguments that are neither numbers, strings, booleans nor plain objects and arrays of such are the
// same as long as they are the same object.

import { current, type Engine, type Lifetime } from "../core/engine.ts";
import { LowrankError, UsageError } from "../core/error.ts";
import { expectFunction } from "../core/kind.ts";
import { Field } from "../core/op.ts";
import {
  type Around,
  type Recording,
  record,
  recording,
  structureChanges,
} from "../core/recording.ts";
import { expectSynchronous } from "../core/synchronous.ts";
import { isNumbers } from "./create.ts";
import { innerScope, isPlainObject, recordsGradients, replaced, tensorsIn } from "./scope.ts";
import type { Values } from "./tensor.ts";

/** A captured step: call it as the function it was made from. */
export interface Captured<A extends readonly unknown[], R> {
  /**
   * Runs the step on these arguments. Tensors in the result are the same ones at each replay: read them before the
   * next call overwrites them. Numbers in it are those of the recording.
   */
  (...args: A): R;
  /** How often the function has been recorded. */
  readonly recordings: number;
  /** Frees the program and its tensors; a further call records anew. */
  dispose(): void;
}

type Path = readonly PropertyKey[];

function at(value: unknown, path: Path): unknown {
  return path.reduce((found, key) => Reflect.get(Object(found), key), value);
}

/** The names in an object, as one word to compare. */
function namesOf(value: unknown): string {
  return JSON.stringify(Reflect.ownKeys(Object(value)).map(String));
}

/** Are two things that a function read of its arguments the same to a program? Numbers in arrays may differ. */
function alike(a: unknown, b: unknown): boolean {
  if (!isNumbers(a) || !isNumbers(b)) return Object.is(a, b);
  return a.constructor === b.constructor && a.length === b.length;
}

/** What was read of the arguments, and where. */
interface Read {
  readonly path: Path;
  readonly found: unknown;
  /** Of an array of numbers that is also elsewhere in the arguments: where it was read first. */
  readonly twin?: Path;
}

class Program<R> implements Recording {
  readonly engine: Engine;
  readonly result: R;
  readonly #address: number;
  readonly #lifetime: Lifetime = {
    alive: true,
    ofStep: true,
    over: "the captured step that gave it was recorded anew or disposed of; read results before the next call",
  };
  readonly #arguments: number;
  readonly #reads: Read[] = [];
  /** Names of objects that were asked for all their names. */
  readonly #names: { readonly path: Path; readonly names: string }[] = [];
  /** What stands in for parts of the arguments, and what it stands in for. */
  readonly #raw = new Map<unknown, unknown>();
  readonly #inputs: { readonly path: Path; readonly address: number }[] = [];
  readonly #probes: { readonly probe: () => unknown; readonly answer: unknown }[] = [];
  readonly #conditions: (() => boolean)[] = [];
  readonly #checks: (() => void)[] = [];
  readonly #around = new Map<object, Around>();
  readonly #moving: { readonly address: number; readonly value: () => number }[] = [];
  readonly #owned: { dispose(): void }[] = [];

  constructor(engine: Engine, fn: (...args: readonly unknown[]) => R, args: readonly unknown[]) {
    this.engine = engine;
    // The first question: where it has another answer, others may ask what is gone.
    this.depends(structureChanges);
    this.depends(() => recordsGradients(engine));
    this.#arguments = args.length;
    this.#address = engine.wasm.beginProgram() >>> 0;
    if (this.#address === 0) engine.outOfMemory("a captured step");
    engine.scopes.push(this.#lifetime);
    try {
      const watched = args.map((arg, i) => this.#watch(arg, [i]));
      this.result = record(this, () =>
        innerScope(engine, () => replaced(expectSynchronous(fn(...watched), "capture"), this.#raw)),
      ) as R;
      for (const tensor of tensorsIn(this.result)) {
        if (tensor.belongsTo(this.#lifetime)) {
          tensor.readOnly = "A captured step's result is not to be written. Copy it with clone().";
        }
      }
    } catch (error) {
      this.#end(false);
      this.dispose();
      throw error;
    }
    if (!this.#end(true)) {
      this.dispose();
      engine.outOfMemory("a captured step");
    }
  }

  #end(complete: boolean): boolean {
    const whole = this.engine.wasm.endProgram(this.#address, Number(complete)) !== 0;
    this.engine.leaveScope();
    return whole;
  }

  /** The value itself, or for plain objects and arrays a stand-in that notes what is read of it. */
  #watch(value: unknown, path: Path): unknown {
    if (!Array.isArray(value) && !isPlainObject(value)) {
      this.#note(value, path);
      return value;
    }
    const part = (key: PropertyKey): unknown =>
      recording() === this
        ? this.#watch(Reflect.get(value, key), [...path, key])
        : Reflect.get(value, key);
    // The target is an empty one, because a proxy may not lie about the parts of a frozen object.
    const standIn: object = new Proxy(Array.isArray(value) ? [] : {}, {
      get: (_, key) => part(key),
      set: (_, key, next) => Reflect.set(value, key, next),
      has: (_, key) => {
        part(key);
        return Reflect.has(value, key);
      },
      ownKeys: () => {
        if (recording() === this) this.#names.push({ path, names: namesOf(value) });
        return Reflect.ownKeys(value);
      },
      getOwnPropertyDescriptor: (target, key) => {
        if (!Object.hasOwn(value, key)) return undefined;
        const configurable = !Object.hasOwn(target, key);
        return { value: part(key), writable: true, enumerable: configurable, configurable };
      },
    });
    this.#raw.set(standIn, value);
    return standIn;
  }

  #note(found: unknown, path: Path): void {
    const twin = isNumbers(found) ? this.#reads.find((read) => read.found === found) : undefined;
    this.#reads.push(twin === undefined ? { path, found } : { path, found, twin: twin.path });
  }

  input(data: Values, address: number): void {
    const read = this.#reads.find(({ found }) => found === data);
    if (read === undefined) {
      throw new UsageError(
        `A captured function made a tensor from an array of ${data.length} numbers that is not among its arguments, or in ` +
          "plain objects and arrays of them: replays would not see it change. Give the array as an argument, or make the " +
          "tensor outside of the function.",
      );
    }
    this.#inputs.push({ path: read.path, address });
  }

  depends(probe: () => unknown): void {
    this.#probes.push({ probe, answer: probe() });
  }

  holds(condition: () => boolean): void {
    this.#conditions.push(condition);
  }

  check(check: () => void): void {
    this.#checks.push(check);
  }

  around(owner: object, around: Around): void {
    if (this.#around.has(owner)) {
      throw new UsageError(
        "A captured function stepped an optimizer twice, or ran a model twice on one cache; once is allowed.",
      );
    }
    this.#around.set(owner, around);
  }

  moves(address: number, value: () => number): void {
    this.#moving.push({ address, value });
  }

  owns(resource: { dispose(): void }): void {
    this.#owned.push(resource);
  }

  /** Takes the arguments in, if the function, called with them, would do what it did when it was recorded. */
  takes(engine: Engine, args: readonly unknown[]): boolean {
    if (!this.#fits(engine, args)) return false;
    for (const { path, address } of this.#inputs) {
      const { f32, i32 } = engine;
      const memory = i32[(address + Field.dtype) >>> 2] === 1 ? i32 : f32;
      memory.set(at(args, path) as Values, (i32[(address + Field.data) >>> 2] ?? 0) >>> 2);
    }
    return this.#conditions.every((condition) => condition());
  }

  #fits(engine: Engine, args: readonly unknown[]): boolean {
    return (
      engine === this.engine &&
      this.#probes.every(({ probe, answer }) => Object.is(probe(), answer)) &&
      args.length === this.#arguments &&
      this.#reads.every(({ path, found, twin }) => {
        const now = at(args, path);
        return alike(now, found) && (twin === undefined || now === at(args, twin));
      }) &&
      this.#names.every(({ path, names }) => namesOf(at(args, path)) === names)
    );
  }

  /** Runs on the arguments that were taken in. */
  run(): R {
    const { engine } = this;
    for (const { before } of this.#around.values()) before();
    for (const { address, value } of this.#moving) engine.i32[address >>> 2] = value();
    const end = engine.wasm.runProgram(this.#address);
    for (const { after } of this.#around.values()) after(end === 1);
    if (end === 0) engine.outOfMemory("a captured step");
    if (end === 2) {
      for (const check of this.#checks) check();
      throw new LowrankError("A captured step stopped at an index that is out of range.");
    }
    return this.result;
  }

  dispose(): void {
    this.#lifetime.alive = false;
    this.engine.wasm.releaseProgram(this.#address);
    for (const resource of this.#owned) resource.dispose();
  }
}

/**
 * Makes a step of `fn`: the first call runs and records it as a scope would, further calls run the record again.
 * Arrays of numbers that come in as arguments, also in plain objects, are its inputs. Inside, tensors cannot be read
 * (return them), and nothing of what `fn` does apart from tensors, gradients and optimizers happens again.
 * @throws UsageError for what cannot be repeated, inside a scope, or for an async function; whatever `fn` throws.
 */
export function capture<A extends readonly unknown[], R>(fn: (...args: A) => R): Captured<A, R> {
  expectFunction("What capture() records", fn);
  let program: Program<R> | null = null;
  let recordings = 0;
  const dispose = (): void => {
    const last = program;
    program = null;
    last?.dispose();
  };
  const step = (...args: A): R => {
    const engine = current();
    if (engine.scopes.length > 0 || recording() !== null) {
      throw new UsageError(
        "A captured step was called inside a scope or another step. It brings its own scope: call it outside.",
      );
    }
    if (program?.takes(engine, args)) return program.run();
    dispose();
    program = new Program(engine, fn as (...args: readonly unknown[]) => R, args);
    recordings += 1;
    return program.result;
  };
  Object.defineProperty(step, "recordings", { get: () => recordings });
  return Object.assign(step, { dispose }) as Captured<A, R>;
}
