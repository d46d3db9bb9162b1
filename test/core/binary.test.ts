import { readFileSync } from "node:fs";
import v8 from "node:v8";
import binaryen from "assemblyscript/binaryen";
import { test } from "uvu";
import * as assert from "uvu/assert";

// Node 20 has relaxed SIMD behind a flag; newer versions have it and ignore the flag.
v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

const LIMIT = 125 * 1024;

interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

/** An unsigned LEB128 number and the position after it. */
function leb(bytes: Uint8Array, at: number): [number, number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

function sections(bytes: Uint8Array): Section[] {
  const found: Section[] = [];
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at] ?? 0;
    const [length, body] = leb(bytes, at + 1);
    found.push({ id, body: bytes.subarray(body, body + length) });
    at = body + length;
  }
  return found;
}

/** Whether any function body holds the two-byte opcode 0xfd 0x105 (f32x4.relaxed_madd: LEB 0x85 0x02). */
function hasRelaxedMadd(bytes: Uint8Array): boolean {
  const code = sections(bytes).find(({ id }) => id === 10)?.body ?? new Uint8Array();
  for (let i = 0; i + 2 < code.length; i++) {
    if (code[i] === 0xfd && code[i + 1] === 0x85 && code[i + 2] === 0x02) return true;
  }
  return false;
}

/** The text of what runs a captured clipping again: the exported functions, and those that lie between them. */
function replayOf(bytes: Uint8Array): string[] {
  const module = binaryen.readBinary(bytes);
  const textOf = (id: string): string =>
    binaryen.emitText(binaryen.getFunctionInfo(module.getFunction(id)).body);
  const idOf = (exported: string): string =>
    binaryen.getExportInfo(module.getExport(exported)).value;
  const calls = (text: string, id: string): boolean => new RegExp(`\\(call \\$${id}\\s`).test(text);
  try {
    const [start, replay, clip] = ["runProgram", "replay", "clipGradients"].map(idOf);
    const all = Array.from({ length: module.getNumFunctions() }, (_, i) =>
      binaryen.emitText(binaryen.getFunctionInfo(module.getFunctionByIndex(i)).body),
    );
    const callers = all.filter((text) => calls(text, clip!));
    assert.is(callers.length, 1, "one function repeats clipping");
    return [start, replay, clip].map((id) => textOf(id!)).concat(callers);
  } finally {
    module.dispose();
  }
}

for (const [name, file] of [
  ["baseline", "core.wasm"],
  ["relaxed", "core.relaxed.wasm"],
] as const) {
  const bytes = new Uint8Array(readFileSync(new URL(`../../${file}`, import.meta.url)));

  test(`the ${name} binary imports exactly its memory`, () => {
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    assert.equal(imports, [{ module: "env", name: "memory", kind: "memory" }]);
  });

  test(`the ${name} binary has no data, element or start section`, () => {
    // 8 start, 9 element, 11 data, 12 data count, 4 table
    const ids = sections(bytes).map(({ id }) => id);
    for (const id of [4, 8, 9, 11, 12]) assert.not.ok(ids.includes(id), `section ${id}`);
  });

  test(`the ${name} binary has no mutable global`, () => {
    const body = sections(bytes).find(({ id }) => id === 6)?.body;
    if (body === undefined) return;
    let [count, at] = leb(body, 0);
    for (; count > 0; count--) {
      assert.is(body[at + 1], 0, "mutability of a global");
      const opcode = body[at + 2];
      assert.is(opcode, 0x41, "globals are i32 constants");
      while (body[at] !== 0x0b) at++;
      at++;
    }
  });

  // asc 0.28.20 makes `<i64>(<u32>load<i32>)` a load that extends the sign. Sizes are widened so elsewhere, rightly.
  test(`what replays in the ${name} binary puts no number of 64 bits together of two`, () => {
    for (const text of replayOf(bytes)) assert.not.match(text, /i64\.load32_s/);
  });

  test(`the ${name} binary has at most 125 KB`, () => {
    assert.ok(bytes.length <= LIMIT, `${bytes.length} bytes`);
  });
}

test("the relaxed binary fuses multiply-add, the baseline never does", () => {
  const read = (file: string): Uint8Array =>
    new Uint8Array(readFileSync(new URL(`../../${file}`, import.meta.url)));
  assert.ok(hasRelaxedMadd(read("core.relaxed.wasm")));
  assert.not.ok(hasRelaxedMadd(read("core.wasm")));
});

test.run();
