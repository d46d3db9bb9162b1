// Functions that must be done when they return: a scope that has closed cannot record what an async function does later.

import { UsageError } from "./error.ts";

/** What the function given to `name` returned; throws if that is a promise. */
export function expectSynchronous<T>(result: T, name: string): T {
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== "function") return result;
  throw new UsageError(
    `The function of ${name}() returned a promise. It must be synchronous: await before it or after it.`,
  );
}
