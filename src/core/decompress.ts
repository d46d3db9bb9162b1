// From the texts that the package carries to the bytes that they stand for. The work is done in a small WASM module
// (assembly/decompress.ts, where the texts' format is stated): this runs once, right after the start of a program, when
// JavaScript takes ten times as long for it.

import { bytes } from "./binary/decompress.ts";

interface Decompressor {
  readonly memory: WebAssembly.Memory;
  /** Where the result begins; the memory's first word says where it ends. */
  decompress(size: number, patchSize: number): number;
}

const TEXT = 1024;
const PAGE = 65536;

/** The bytes of a printable text, or what the patch in a second one makes of them; both are of ASCII characters. */
export function decompress(text: string, patch = ""): Uint8Array {
  const module = new WebAssembly.Module(Uint8Array.from(bytes));
  const decompressor = new WebAssembly.Instance(module, {}).exports as unknown as Decompressor;
  const { memory } = decompressor;
  memory.grow(Math.ceil((TEXT + text.length + patch.length) / PAGE));
  const encoder = new TextEncoder();
  encoder.encodeInto(text, new Uint8Array(memory.buffer, TEXT));
  encoder.encodeInto(patch, new Uint8Array(memory.buffer, TEXT + text.length));
  const start = decompressor.decompress(text.length, patch.length);
  const [end = start] = new Uint32Array(memory.buffer, 0, 1);
  return new Uint8Array(memory.buffer, start, end - start);
}
