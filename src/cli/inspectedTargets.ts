// The modules that an adapter's file holds tensors for, without the model it was made for: what stands before the first
// part of a key that its method knows.

import type { AdapterShapes, AnyMethod } from "../adapters/method.ts";
import { bareName } from "../io/tensor-names.ts";
import type { TensorEntry } from "./tensorTable.ts";

/** Shapes by the path of a module and the key, without the name of an adapter in it. */
export function shapesByModule(
  tensors: readonly TensorEntry[],
  { keys }: AnyMethod,
): AdapterShapes {
  // Between the parts of a key stands the name of the adapter, of files that PEFT's own function did not save.
  const endings = keys.map((key) => {
    const [first = key, ...rest] = key.split(".");
    const tail = rest.map((part) => `\\.${part}`).join("");
    return [key, new RegExp(`\\.${first}(?:\\.[^.]+)?${tail}$`)] as const;
  });
  const shapes = new Map<string, Map<string, readonly number[]>>();
  for (const { name, shape } of tensors) {
    const bare = bareName(name);
    for (const [key, ending] of endings) {
      const found = ending.exec(bare);
      if (found === null) continue;
      const path = bare.slice(0, found.index);
      const module = shapes.get(path) ?? new Map<string, readonly number[]>();
      shapes.set(path, module.set(key, shape));
    }
  }
  return shapes;
}
