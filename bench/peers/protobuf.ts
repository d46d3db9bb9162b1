// As much of the wire format of protocol buffers as it takes to write a message: fields in any order, each a tag
// (number << 3 | type) and a varint (type 0), bytes with their length (type 2) or a float (type 5).
// https://protobuf.dev/programming-guides/encoding/

/** Seven bits a byte, the lowest first; negative numbers as 64 bits of their two's complement. */
export function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

/** A message to which fields are added. */
export class Message {
  readonly #parts: Uint8Array[] = [];

  int(field: number, value: number | bigint): this {
    this.#parts.push(Uint8Array.from([...varint(field << 3), ...varint(value)]));
    return this;
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(new Float32Array([value]).buffer);
    this.#parts.push(Uint8Array.from([...varint((field << 3) | 5), ...bytes]));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(
      Uint8Array.from([...varint((field << 3) | 2), ...varint(value.length)]),
      value,
    );
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.encoded());
  }

  encoded(): Uint8Array {
    const out = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}
