// Globals of other hosts, for the time of a call.

/** Runs `fn` while a global has another value, or none. */
export function withGlobal<T>(name: string, value: unknown, fn: () => T): T {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  try {
    return fn();
  } finally {
    if (before === undefined) Reflect.deleteProperty(globalThis, name);
    else Object.defineProperty(globalThis, name, before);
  }
}
