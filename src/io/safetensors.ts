// safetensors files as maps from name to raw tensor. Reading copies nothing: every tensor is a view of the
// file's bytes. Writing gives the same bytes as the reference writer: tensors by descending dtype, then by
// name, a compact JSON header padded with spaces to a multiple of 8.
import { FormatError, UsageError } from "../core/error.ts";
import type { Gate } from "../core/file-parts.ts";
import {
  expectBytes,
  expectMap,
  expectObject,
  expectText,
  expectTyped,
  kindOf,
  wrongKind,
} from "../core/kind.ts";
import { type Dtype, dtypes, isDtype, tensorBytes } from "./dtype.ts";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "./half.ts";
import { quote } from "./json.ts";
import {
  headerEnd,
  LENGTH_BYTES,
  MAX_HEADER,
  readHeader,
  type SafetensorsHeader,
} from "./safetensors-header.ts";

/** A tensor as it lies in a file: row-major, little-endian bytes. */
export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The contents of one file; tensors in the order in which their data lies there. */
export interface SafetensorsFile {
  readonly metadata: Map<string, string>;
  readonly tensors: Map<string, StoredTensor>;
}

/**
 * Reads a safetensors file; `bytes` are shared, not copied.
 * @param name how error messages call the file
 * @throws FormatError when any rule of the format is broken
 */
export function readSafetensors(bytes: Uint8Array, name: string): SafetensorsFile {
  expectText("The name of a file", name);
  expectBytes(name, bytes);
  const { metadata, tensors: inFile, dataStart, give } = readHeader(bytes, name);
  give(bytes.subarray(dataStart));
  const tensors = new Map<string, StoredTensor>();
  for (const [tensor, { dtype, shape, bytes }] of inFile)
    tensors.set(tensor, { dtype, shape, bytes });
  return { metadata, tensors };
}

/** Reads the header at the beginning of a file, whose data is only read if the header is good. */
export class HeaderGate {
  readonly #name: string;
  readonly #offset: number;
  #header: SafetensorsHeader | null = null;

  /**
   * @param name how error messages call the file
   * @param offset bytes before the safetensors file
   */
  constructor(name: string, offset = 0) {
    this.#name = name;
    this.#offset = offset;
  }

  readonly pass: Gate = (head, size) => {
    const begin = head.subarray(this.#offset);
    const whole = Math.max(0, size - this.#offset);
    if (begin.length < LENGTH_BYTES && begin.length < whole) {
      return this.#offset + Math.min(LENGTH_BYTES, whole);
    }
    const end = headerEnd(begin, whole, this.#name);
    if (begin.length >= end) this.#header = readHeader(begin, this.#name, whole);
    return this.#offset + end;
  };

  /** What was read. */
  get header(): SafetensorsHeader {
    if (this.#header === null) throw new FormatError(`${this.#name} ended while it was read.`);
    return this.#header;
  }
}

/**
 * The values of a floating tensor as float32; F64 is rounded, the others are exact.
 * The result may share memory with the file: copy it before changing it.
 */
export function toFloat32(stored: StoredTensor): Float32Array {
  expectObject("A stored tensor", stored, "an object { dtype, shape, bytes }");
  const { dtype, bytes } = stored;
  expectBytes("bytes", bytes);
  switch (dtype) {
    case "F32":
      return new Float32Array(...aligned(bytes, 4));
    case "F64":
      return new Float32Array(new Float64Array(...aligned(bytes, 8)));
    case "F16":
      return float16ToFloat32(new Uint16Array(...aligned(bytes, 2)));
    case "BF16":
      return bfloat16ToFloat32(new Uint16Array(...aligned(bytes, 2)));
    default:
      throw new FormatError(
        `A tensor of dtype ${isDtype(dtype) ? dtype : kindOf(dtype)} cannot be computed with; F32, F16, BF16 and F64 can. ` +
          "Convert the file first.",
      );
  }
}

/** Stores float32 values, row-major in `shape`, in one of three types. */
export function fromFloat32(
  values: Float32Array,
  shape: readonly number[],
  dtype: "F32" | "F16" | "BF16" = "F32",
): StoredTensor {
  expectTyped("The values", values, "Float32Array");
  if (!Array.isArray(shape)) throw wrongKind("The shape", shape, "an array of sizes");
  let source: Float32Array | Uint16Array = values;
  if (dtype === "F16") source = float32ToFloat16(values);
  if (dtype === "BF16") source = float32ToBfloat16(values);
  const bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  return checked("a tensor", { dtype, shape: [...shape], bytes });
}

/**
 * Writes a safetensors file, byte for byte as the reference writer does. Metadata keys are sorted; an
 * empty map writes no metadata.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  expectMap("The tensors", tensors, "a Map from names to stored tensors");
  expectMap("The metadata", metadata, "a Map from texts to texts");
  for (const [name, tensor] of tensors) {
    expectText("The name of a tensor", name);
    checked(`The tensor ${quote(name)}`, tensor);
  }
  const place = new Map(dtypes.map((dtype, index) => [dtype, index]));
  const sorted = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      (place.get(b.dtype) ?? 0) - (place.get(a.dtype) ?? 0) || compareUtf8(nameA, nameB),
  );
  const fields: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].sort(([a], [b]) => compareUtf8(a, b));
    const texts = pairs.map(([key, value]) => `${jsonString(key)}:${jsonString(value)}`);
    fields.push(`"__metadata__":{${texts.join()}}`);
  }
  let end = 0;
  for (const [name, tensor] of sorted) {
    if (name === "__metadata__") throw new UsageError('No tensor may be called "__metadata__".');
    const { dtype, shape, bytes } = tensor;
    const begin = end;
    end += bytes.length;
    fields.push(
      `${jsonString(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`,
    );
  }
  const json = new TextEncoder().encode(`{${fields.join()}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  if (headerLength > MAX_HEADER) {
    throw new UsageError(
      `The header would take ${headerLength} bytes, and the format allows ${MAX_HEADER}. Write fewer tensors.`,
    );
  }
  const file = new Uint8Array(8 + headerLength + end).fill(0x20, 8 + json.length, 8 + headerLength);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.set(json, 8);
  let offset = 8 + headerLength;
  for (const [, { bytes }] of sorted) {
    file.set(bytes, offset);
    offset += bytes.length;
  }
  return file;
}

/** A typed array can only view bytes that begin at a multiple of its element size: copy others. */
function aligned(bytes: Uint8Array, size: number): [ArrayBufferLike, number, number] {
  const own = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return [own.buffer, own.byteOffset, own.byteLength / size];
}

function checked(what: string, tensor: StoredTensor): StoredTensor {
  expectObject(what, tensor, "an object { dtype, shape, bytes }");
  const { dtype, shape, bytes } = tensor;
  expectText(`The dtype of ${what}`, dtype);
  expectBytes(`The data of ${what}`, bytes);
  if (!Array.isArray(shape)) throw wrongKind(`The shape of ${what}`, shape, "an array of sizes");
  const expected = isDtype(dtype) ? tensorBytes(dtype, shape) : `unknown dtype ${quote(dtype)}`;
  if (expected === bytes.length) return tensor;
  const problem = typeof expected === "string" ? expected : `${expected} bytes expected`;
  throw new UsageError(
    `${what} does not fit together: ${dtype} [${shape.map(kindOf)}] with ${bytes.length} bytes; ${problem}.`,
  );
}

function jsonString(text: string): string {
  expectText("A text of the header", text);
  if (text.isWellFormed()) return JSON.stringify(text);
  throw new UsageError(
    `The name ${quote(text)} holds half a surrogate pair; no file can store it.`,
  );
}

/** Orders as the UTF-8 bytes do: there, surrogate pairs come after U+E000 to U+FFFF. */
function compareUtf8(a: string, b: string): number {
  const rank = (unit: number) =>
    unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
