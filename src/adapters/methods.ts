// The adapter methods, one line each.

import { UsageError } from "../core/error.ts";
import { ia3 } from "./ia3.ts";
import { lora } from "./lora.ts";
import type { AdapterMethod, AnyMethod } from "./method.ts";
import { vera } from "./vera.ts";

/** All methods. The first is what the command takes when none is named. */
const registry: AnyMethod[] = [lora, ia3, vera];

export function methods(): readonly AnyMethod[] {
  return registry;
}

/**
 * Adds a method, whose adapters can then be loaded.
 * @throws UsageError when another method has its name or its `peftType`
 */
export function registerMethod<C extends object, S>(method: AdapterMethod<C, S>): void {
  const { name, peftType } = method;
  if (registry.includes(method as AnyMethod)) return;
  const other = registry.find((one) => one.name === name || one.peftType === peftType);
  if (other !== undefined) {
    throw new UsageError(
      `There is a method ${other.name} (${other.peftType}) already; give this one another name and peftType.`,
    );
  }
  registry.push(method as AnyMethod);
}
