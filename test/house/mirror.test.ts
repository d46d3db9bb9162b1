// What the front end knows of the engine's memory is what the engine says: offsets, flags, counters and exports are
// written down on both sides, and compared here. The list of ops is the engine's own.

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  Counter,
  Field,
  Flag,
  HEAP_TOP,
  MAX_RANK,
  Op,
  type OpName,
  STATE,
} from "../../src/core/op.ts";
import { codeOf, read } from "./source.ts";

/** The members of `const enum name` in a file of the engine. */
function enumOf(path: string, name: string): Record<string, number> {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(codeOf(read(path)))?.[1] ?? "";
  const members = [...body.matchAll(/(\w+)\s*=\s*(\d+)/g)];
  assert.is(members.length, body.split(",").filter((part) => part.trim() !== "").length);
  return Object.fromEntries(members.map(([, key, value]) => [key!, Number(value)]));
}

/** A constant of a file of the engine. */
function constantOf(path: string, name: string): number {
  const found = new RegExp(`const ${name}: \\w+ = (\\d+)`).exec(codeOf(read(path)));
  if (found === null) throw new Error(`no ${name} in ${path}`);
  return Number(found[1]);
}

const BYTES: Readonly<Record<string, number>> = { i32: 4, u32: 4, usize: 4, f32: 4, f64: 8 };

/** Byte offsets of the fields of an unmanaged class. */
function offsetsOf(path: string, name: string): Map<string, number> {
  const code = codeOf(read(path));
  const body = /\{([^}]*)\}/.exec(code.slice(code.indexOf(`class ${name} {`)))?.[1] ?? "";
  const offsets = new Map<string, number>();
  let at = 0;
  for (const [, field, type] of body.matchAll(/(\w+): (\w+);/g)) {
    const size = BYTES[type!];
    if (size === undefined) throw new Error(`${field} is of ${type}`);
    at = Math.ceil(at / size) * size;
    offsets.set(field!, at);
    at += size;
  }
  return offsets;
}

test("the list of ops has every op of the engine once, and its attributes", () => {
  const codes = Object.values(Op).map(({ code }) => code);
  assert.is(new Set(codes).size, codes.length);
  for (const [name, op] of Object.entries(Op)) assert.is(op.name, name);
  const others = enumOf("assembly/tensor/op.ts", "Op");
  for (const [name, code] of Object.entries(others)) assert.is(Op[name as OpName].code, code);
  const cases = read("assembly/tape/dispatch.ts").match(/^ +case /gm) ?? [];
  assert.is(codes.length, Object.keys(others).length + cases.length);
  assert.equal(Op.Linear.ints, ["hasBias", "hasBranch", "ordinal"]);
  assert.equal(Op.Linear.floats, ["scale", "dropout"]);
  assert.equal(Op.Mean, { name: "Mean", code: 25, ints: ["axes"], floats: ["count"] });
});

test("flags are the engine's", () => {
  assert.equal({ ...Flag }, enumOf("assembly/tensor/tensor.ts", "Flag"));
});

test("counters are the engine's", () => {
  const theirs = Object.entries(enumOf("assembly/memory/state.ts", "Counter")).map(
    ([key, value]): [string, number] => [key[0]!.toLowerCase() + key.slice(1), value],
  );
  assert.equal({ ...Counter }, Object.fromEntries(theirs));
});

test("the offsets of a tensor record are the engine's", () => {
  const offsets = offsetsOf("assembly/tensor/tensor.ts", "Tensor");
  // Groups of fields are called by their first.
  const names: Readonly<Record<string, string>> = {
    dims: "d0",
    sourceCount: "sources",
    sources: "s0",
  };
  for (const [field, offset] of Object.entries(Field)) {
    // Attributes lie behind all fields.
    const known = field === "attributes" ? offsets.get("plannedGrad")! + 4 : undefined;
    assert.is(known ?? offsets.get(names[field] ?? field), offset, field);
  }
  assert.is(Math.max(...offsets.values()), offsets.get("plannedGrad"));
  // Members of a group stand side by side, as many as the front end may write.
  for (const [letter, count] of [
    ["d", MAX_RANK],
    ["s", 6],
  ] as const) {
    const first = offsets.get(`${letter}0`)!;
    for (let i = 0; i < count; i++) assert.is(offsets.get(`${letter}${i}`), first + 4 * i);
  }
  assert.is(MAX_RANK, constantOf("assembly/tensor/tensor.ts", "MAX_RANK"));
});

test("the engine's state lies where the front end reads it, counters first", () => {
  assert.is(STATE, constantOf("assembly/memory/layout.ts", "STATE"));
  const offsets = offsetsOf("assembly/memory/state.ts", "State");
  for (const index of Object.values(Counter)) assert.is(offsets.get(`c${index}`), 8 * index);
  assert.is(HEAP_TOP, STATE + offsets.get("heapTop")!);
});

test("what the front end calls is exported, with as many arguments", () => {
  // The binary itself: an engine wraps some of its functions.
  const bytes = readFileSync(new URL("../../core.wasm", import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });
  const { exports: exported } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: { memory },
  });
  const code = codeOf(read("src/core/exports.ts"));
  const methods = [...code.matchAll(/^ {2}(\w+)\(([^)]*)\): /gm)];
  assert.ok(methods.length > 30);
  for (const [, name, parameters] of methods) {
    const found = exported[name!];
    assert.type(found, "function", name);
    const count = [...parameters!.matchAll(/\w+: /g)].length;
    assert.is((found as () => void).length, count, `arguments of ${name}`);
  }
});

test.run();
