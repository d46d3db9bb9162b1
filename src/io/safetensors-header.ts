// Reads and checks the header of a safetensors file before any of its data is believed.
//   8 bytes   N, unsigned little-endian 64-bit
//   N bytes   JSON: { "__metadata__"?: {string: string}, "<tensor>": {"dtype", "shape", "data_offsets"}, ... }
//   rest      data, without hole or overlap; offsets count from the end of the header
// Every error names the file and the tensor. Time and memory are linear in the header, at most 100 MB of it.

import { FormatError, UsageError } from "../core/error.ts";
import { foreignKind } from "../core/foreign.ts";
import { JsonReader, quote } from "../core/json-reader.ts";
import { type Dtype, dtypes, isDtype, tensorBytes } from "./dtype.ts";

/** The bytes that tell the length of the header. */
export const LENGTH_BYTES = 8;

/** The longest header that the format allows, in bytes. */
export const MAX_HEADER = 100_000_000;
/** The most dimensions that PyTorch gives a tensor. */
const MAX_RANK = 64;
/** The most tensors of a file; the largest models have half as many, in all their files. */
const MAX_TENSORS = 300_000;
/** The most pairs of metadata that are read; files have a few. */
const MAX_METADATA = 100_000;
/** Headers up to so many bytes are walked through once before they are read. */
const SCANNED = 1 << 24;
/** So many shapes are kept to be shared. */
const MAX_SHAPES = 1000;
const MEMBERS: readonly string[] = ["dtype", "shape", "data_offsets"];

/** The data of a file, once it is read. */
export interface FileData {
  bytes: Uint8Array | null;
}

/** A tensor in a file: bytes `[begin, end)` of the data. It holds no bytes of its own, and is a small object. */
export class FileTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
  readonly data: FileData;

  constructor(dtype: Dtype, shape: readonly number[], begin: number, end: number, data: FileData) {
    this.dtype = dtype;
    this.shape = shape;
    this.begin = begin;
    this.end = end;
    this.data = data;
  }

  /** A view of the file's data; a UsageError while only the header has been read. */
  get bytes(): Uint8Array {
    const { bytes } = this.data;
    if (bytes === null) throw new UsageError("Of this file only the header has been read.");
    // Not a subarray, which of Node's Buffer is a Buffer.
    return new Uint8Array(bytes.buffer, bytes.byteOffset + this.begin, this.end - this.begin);
  }
}

/** A checked header. */
export interface SafetensorsHeader {
  readonly metadata: Map<string, string>;
  /** By name, in the order in which their data lies in the file. */
  readonly tensors: Map<string, FileTensor>;
  /** The place of the first byte of data in the file. */
  readonly dataStart: number;
  /** Gives the tensors their data, all that follows the header. */
  readonly give: (data: Uint8Array) => void;
}

/**
 * How many bytes from its beginning a file's header takes, with the eight that say so.
 * @param bytes the first eight at least, unless the file is shorter
 * @param size of the whole file; Infinity where nobody knows
 */
export function headerEnd(bytes: Uint8Array, size: number, file: string): number {
  return LENGTH_BYTES + readLength(bytes, size, file);
}

/**
 * Reads the header of a file called `file`; refuses what breaks a rule.
 * @param bytes the file's beginning, all of the header at least
 */
export function readHeader(
  bytes: Uint8Array,
  file: string,
  size: number = bytes.length,
): SafetensorsHeader {
  const dataStart = headerEnd(bytes, size, file);
  const dataLength = size - dataStart;
  const reader = new JsonReader(bytes.subarray(LENGTH_BYTES, dataStart), `The header of ${file}`);
  if (reader.peek() !== "{") refuseForeign(bytes, file);
  // What breaks the grammar is refused before anything is built; of a very long header that would cost time.
  if (dataStart <= SCANNED && reader.peek() === "{") {
    reader.skip();
    reader.end();
    reader.position = 0;
  }
  const data: FileData = { bytes: null };
  const entries = new EntryReader(reader, data);
  let metadata: Map<string, string> | undefined;
  const tensors = new Map<string, FileTensor>();
  let total = 0;
  let isInOrder = true;
  reader.object((name) => {
    if (name === "__metadata__") {
      if (metadata !== undefined) reader.fail("__metadata__ appears twice");
      metadata = readMetadata(reader);
      return;
    }
    if (tensors.has(name)) reader.fail(`the tensor ${quote(name)} appears twice`);
    if (tensors.size === MAX_TENSORS) reader.fail(`more than ${MAX_TENSORS} tensors`);
    const tensor = entries.read(name);
    isInOrder &&= tensor.begin === total;
    // The ranges must tile the data exactly. A file of many tensors over the same bytes is refused as
    // soon as they claim more than there is, before the rest is read.
    total += tensor.end - tensor.begin;
    if (total > dataLength) {
      reader.fail(
        `up to ${quote(name)} the tensors claim ${total} bytes, but only ${dataLength} follow the header; ` +
          "the file is cut off, or its tensors overlap",
      );
    }
    tensors.set(name, tensor);
  });
  const sorted = isInOrder ? tensors : inFileOrder(tensors, file);
  if (total !== dataLength && size !== Number.POSITIVE_INFINITY) {
    throw new FormatError(
      `${file} is not valid: its tensors end at byte ${total} of the data, but ${dataLength} bytes ` +
        "follow the header. It is cut off, or something was appended.",
    );
  }
  const give = (bytes: Uint8Array): void => {
    data.bytes = bytes;
  };
  return { metadata: metadata ?? new Map(), tensors: sorted, dataStart, give };
}

/** Throws for a file that begins like one of another kind. */
function refuseForeign(bytes: Uint8Array, file: string): void {
  const kind = foreignKind(bytes);
  if (kind !== null) throw new FormatError(`${file} ${kind}`);
}

function readLength(bytes: Uint8Array, size: number, file: string): number {
  if (bytes.length < LENGTH_BYTES) {
    refuseForeign(bytes, file);
    throw new FormatError(
      `${file} is too small for a safetensors file: it has ${bytes.length} bytes, and the length of the ` +
        "header alone takes 8. Fetch or copy it again.",
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  const isPossible = length <= BigInt(MAX_HEADER) && LENGTH_BYTES + Number(length) <= size;
  if (!isPossible) refuseForeign(bytes, file);
  if (length > BigInt(MAX_HEADER)) {
    throw new FormatError(
      `${file} announces a header of ${length} bytes, too large: at most ${MAX_HEADER} are allowed. ` +
        "It is damaged, or not a safetensors file.",
    );
  }
  if (LENGTH_BYTES + Number(length) > size) {
    throw new FormatError(
      `${file} has an invalid header length: it announces ${length} bytes, but only ` +
        `${size - LENGTH_BYTES} follow. It is cut off, or not a safetensors file.`,
    );
  }
  return Number(length);
}

function readMetadata(reader: JsonReader): Map<string, string> {
  const metadata = new Map<string, string>();
  if (reader.peek() !== "{") reader.fail("__metadata__ must be an object of strings");
  reader.object((key) => {
    if (reader.peek() !== '"') reader.fail(`__metadata__ ${quote(key)} must be a string`);
    if (metadata.has(key)) reader.fail(`the metadata ${quote(key)} appears twice`);
    if (metadata.size === MAX_METADATA)
      reader.fail(`more than ${MAX_METADATA} entries of metadata`);
    metadata.set(key, reader.string());
  });
  return metadata;
}

/** Reads entries one after the other. It makes nothing but the tensors: garbage of a large header would take memory. */
class EntryReader {
  readonly #reader: JsonReader;
  readonly #data: FileData;
  readonly #shapes = new Map<string, readonly number[]>();
  #name = "";
  #dtype = "";
  #shape: readonly number[] | null = [];
  #begin = -1;
  #end = -1;
  /** The numbers of the list that was read last. */
  readonly #numbers = new Float64Array(MAX_RANK);
  #count = 0;

  constructor(reader: JsonReader, data: FileData) {
    this.#reader = reader;
    this.#data = data;
  }

  /** The entry that comes next. */
  read(name: string): FileTensor {
    const reader = this.#reader;
    this.#name = name;
    this.#dtype = "";
    this.#shape = null;
    this.#begin = -1;
    if (reader.peek() !== "{") this.#fail(" must be an object");
    reader.object(this.#member, MEMBERS);
    const dtype = this.#dtype;
    const shape = this.#shape as readonly number[] | null;
    const begin = this.#begin;
    const end = this.#end;
    if (dtype === "" || shape === null || begin < 0) {
      return this.#fail(" lacks dtype, shape or data_offsets");
    }
    if (!isDtype(dtype)) return this.#fail(` has the unknown dtype ${quote(dtype)}`);
    const size = tensorBytes(dtype, shape);
    if (typeof size === "string") return this.#fail(`: ${size}`);
    if (size !== end - begin) {
      const what = `, ${dtype} [${shape.slice(0, 8)}],`;
      return this.#fail(`${what} needs ${size} bytes but has ${end - begin}`);
    }
    return new FileTensor(dtype, shape, begin, end, this.#data);
  }

  #fail(problem: string): never {
    return this.#reader.fail(`the tensor ${quote(this.#name)}${problem}`);
  }

  readonly #member = (key: string): void => {
    if (key === "dtype" && this.#dtype === "") this.#dtype = this.#reader.stringAmong(dtypes);
    else if (key === "shape" && this.#shape === null) {
      this.#readNumbers();
      this.#shape = this.#sharedShape();
    } else if (key === "data_offsets" && this.#begin < 0) {
      this.#readNumbers();
      [this.#begin = -1, this.#end = -1] = this.#numbers;
      if (this.#count !== 2 || this.#end < this.#begin)
        this.#fail(" has no valid pair of data_offsets");
    } else this.#fail(` has the key ${quote(key)} twice or beyond the format`);
  };

  #readNumbers(): void {
    this.#count = 0;
    this.#reader.array(this.#number);
  }

  readonly #number = (): void => {
    const reader = this.#reader;
    const { position } = reader;
    const value = reader.index();
    if (value < 0) {
      reader.position = position;
      const found = quote(reader.number());
      this.#fail(` has ${found} where a whole number from 0 to 2^53 - 1 must stand`);
    }
    if (this.#count === MAX_RANK) this.#fail(` has a list of more than ${MAX_RANK} numbers`);
    this.#numbers[this.#count++] = value;
  };

  /** The numbers as a shape; equal ones are often one array. */
  #sharedShape(): readonly number[] {
    const numbers = this.#numbers.subarray(0, this.#count);
    const key = numbers.join();
    const shape = this.#shapes.get(key) ?? [...numbers];
    if (this.#shapes.size < MAX_SHAPES) this.#shapes.set(key, shape);
    return shape;
  }
}

/** Sorts by place in the file and checks that the tensors follow each other without hole or overlap. */
function inFileOrder(
  tensors: ReadonlyMap<string, FileTensor>,
  file: string,
): Map<string, FileTensor> {
  const sorted = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let previous = 0;
  for (const [name, { begin, end }] of sorted) {
    if (begin !== previous) {
      throw new FormatError(
        `${file} is not valid: the tensor ${quote(name)} begins at byte ${begin} of the data, but the one ` +
          `before it ends at ${previous}. Tensors must follow each other without ` +
          `${begin > previous ? "a hole" : "overlap"}.`,
      );
    }
    previous = end;
  }
  return new Map(sorted);
}
