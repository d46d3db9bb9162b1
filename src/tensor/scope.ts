// Scopes: where ops are recorded, and where what they make is freed again.
//
//   scope(() => { ... loss.backward(); ... })   everything made inside goes when the function returns;
//                                               tensors it returns are copied out
//   noGrad(() => { ... })                       ops inside record no gradients

import { current, type Engine, type Lifetime } from "../core/engine.ts";
import { expectFunction } from "../core/kind.ts";
import { recording } from "../core/recording.ts";
import { expectSynchronous } from "../core/synchronous.ts";
import { allOrNothing, detached, leaf } from "./record.ts";
import { Tensor, type Values } from "./tensor.ts";

/** All tensors in a returned value: the value itself, or those in arrays and plain objects of it. */
export function tensorsIn(value: unknown, found: Tensor[] = []): Tensor[] {
  if (value instanceof Tensor) found.push(value);
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, found);
  else if (isPlainObject(value)) for (const item of Object.values(value)) tensorsIn(item, found);
  return found;
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // Every realm has an Object.prototype of its own; that it has none itself makes it one.
  return prototype !== null && Object.getPrototypeOf(prototype) === null;
}

/** A value with other things in the place of some, itself or those in arrays and plain objects of it. */
export function replaced(value: unknown, others: ReadonlyMap<unknown, unknown>): unknown {
  if (others.has(value)) return others.get(value);
  if (Array.isArray(value)) return value.map((item) => replaced(item, others));
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, replaced(item, others)]),
  );
}

/**
 * Runs `fn` with ops of the current engine recorded, then frees everything made inside. Tensors that `fn` returns
 * (also in arrays and plain objects) are copied out: to the enclosing scope, or as persistent tensors. Scopes may be
 * nested.
 * @throws UsageError when `fn` is async: its later steps would run after the scope has closed.
 */
export function scope<T>(fn: () => T): T {
  expectFunction("What scope() runs", fn);
  const engine = current();
  if (recording() !== null) return innerScope(engine, () => expectSynchronous(fn(), "scope"));
  if (engine.wasm.openScope() === 0) engine.outOfMemory("a scope");
  const lifetime: Lifetime = { alive: true };
  engine.scopes.push(lifetime);
  let result: T;
  // Values of returned tensors, kept while their memory is given back.
  const rescued = new Map<Tensor, Values>();
  try {
    result = expectSynchronous(fn(), "scope");
    for (const tensor of tensorsIn(result)) {
      if (tensor.belongsTo(lifetime)) rescued.set(tensor, tensor.toArray());
    }
  } finally {
    engine.closeScope();
    lifetime.alive = false;
  }
  if (rescued.size === 0) return result;
  return allOrNothing(() => {
    const copies = new Map<Tensor, Tensor>();
    for (const [tensor, values] of rescued) {
      const { shape, dtype } = tensor;
      copies.set(
        tensor,
        leaf(shape, (out) => out.set(values), { dtype }, engine),
      );
    }
    return replaced(result, copies) as T;
  });
}

/**
 * A scope in a captured step, which keeps its records: tensors that leave it are cut off from their history, as copies
 * would be, and all others are gone.
 */
export function innerScope<T>(engine: Engine, fn: () => T): T {
  const lifetime: Lifetime = { alive: true };
  engine.scopes.push(lifetime);
  let result: T;
  try {
    result = hiding(engine, fn);
  } catch (error) {
    lifetime.alive = false;
    throw error;
  } finally {
    engine.leaveScope();
  }
  const left = tensorsIn(result).filter((tensor) => tensor.belongsTo(lifetime));
  const cut = new Map(left.map((tensor) => [tensor, detached(tensor)]));
  lifetime.alive = false;
  return cut.size === 0 ? result : (replaced(result, cut) as T);
}

// Runs a function that is made of several ops in the engine of its owner: outside of scopes, where each op's result
// lives until disposed and none can be differentiated, what lies between its ops is freed; inside, the ops are recorded
// as they are.
export function composite<T>({ engine }: { readonly engine: Engine }, fn: () => T): T {
  return engine.run(() => {
    if (engine.scopes.length === 0) return scope(() => noGrad(fn));
    return recording() === null ? fn() : hiding(engine, fn);
  });
}

/** Runs a function whose tensors, but for those that it returns, a captured step can take to be unreachable then. */
export function hiding<T>(engine: Engine, fn: () => T): T {
  const before = engine.wasm.lastRecord();
  const result = fn();
  engine.wasm.markUnreachable(before);
  for (const tensor of tensorsIn(result)) engine.wasm.markReachable(tensor.address);
  return result;
}

/** Is noGrad not in force? */
export function recordsGradients({ wasm }: Engine): boolean {
  const mode = wasm.setGradMode(1);
  wasm.setGradMode(mode);
  return mode !== 0;
}

/**
 * Runs `fn` without recording gradients: nothing made inside requires one.
 * @throws UsageError when `fn` is async
 */
export function noGrad<T>(fn: () => T): T {
  expectFunction("What noGrad() runs", fn);
  const engine = current();
  const before = engine.wasm.setGradMode(0);
  try {
    return expectSynchronous(fn(), "noGrad");
  } finally {
    engine.wasm.setGradMode(before);
  }
}
