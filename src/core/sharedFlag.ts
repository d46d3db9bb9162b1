// Shared and unshared builds of one source differ in one byte: the limits of the imported memory start with 3
// (shared, with a maximum) or 1 (a maximum). Plain atomics work on unshared memory, so for hosts that cannot
// share one the flag is cleared in the bytes. Sections and imports: WebAssembly core specification 2.0, 5.5.

const PREAMBLE_BYTES = 8;
const IMPORT_SECTION = 2;
const SHARED = 2;
const HAS_MAXIMUM = 1;
const Kind = { func: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

/** A copy of a module's bytes in which the memories that it imports are not shared. */
export function withUnsharedMemory(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  let at = PREAMBLE_BYTES;

  // An unsigned LEB128 number: seven bits a byte, lowest first.
  function number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = copy[at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  }
  function skip(count: number): void {
    at += count;
  }
  function limits(): void {
    const flags = copy[at++] ?? 0;
    number();
    if (flags & HAS_MAXIMUM) number();
  }

  while (at < copy.length) {
    const section = copy[at++];
    const size = number();
    if (section !== IMPORT_SECTION) {
      skip(size);
      continue;
    }
    for (let left = number(); left > 0; left--) {
      skip(number()); // the module's name
      skip(number()); // the import's name
      switch (copy[at++]) {
        case Kind.func:
          number();
          break;
        case Kind.table:
          skip(1);
          limits();
          break;
        case Kind.memory:
          copy[at] = (copy[at] ?? 0) & ~SHARED;
          limits();
          break;
        case Kind.global:
          skip(2);
          break;
        case Kind.tag:
          skip(1);
          number();
          break;
        default:
          return copy;
      }
    }
    return copy;
  }
  return copy;
}
