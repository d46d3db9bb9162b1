// The modules that an adapter's file holds tensors for, without the model it was made for: what stands before the first
// part of a key that its method knows.

import type { AdapterShapes, AnyMethod } from "../adapters/method.ts";
import type { TensorEntry } from "./tensorTable.ts";

/** Shapes by the path of a module and the key, without the name of an adapter in it. */
export function shapesByModule(
  tensors: readonly TensorEntry[],
  { keys }: AnyMethod,
): AdapterShapes {
  const shapes = new Map<string, Map<string, readonly number[]>>();
  for (const { name, shape } of tensors) {
    const bare = name.replace(/^base_model\.model\./, "");
    const key = keys.find((candidate) => bare.endsWith(`.${candidate}`));
    const path = key === undefined ? undefined : bare.slice(0, -key.length - 1);
    if (key === undefined || path === undefined) continue;
    const module = shapes.get(path) ?? new Map<string, readonly number[]>();
    shapes.set(path, module.set(key, shape));
  }
  return shapes;
}
