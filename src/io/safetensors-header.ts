// Reads and checks the header of a safetensors file before any of its data is believed.
//   8 bytes   N, unsigned little-endian 64-bit
//   N bytes   JSON: { "__metadata__"?: {string: string}, "<tensor>": {"dtype", "shape", "data_offsets"}, ... }
//   rest      data, without hole or overlap; offsets count from the end of the header
// Every error names the file and the tensor. Time and memory are linear in the header, at most 100 MB of it.
import { FormatError } from "../core/error.ts";
import { JsonReader, quote } from "../core/json-reader.ts";
import { type Dtype, isDtype, tensorBytes } from "./dtype.ts";

const PREFIX = 8;

/** The longest header that the format allows, in bytes. */
export const MAX_HEADER = 100_000_000;

/** One tensor as the header describes it: bytes `[begin, end)` of the data. */
export interface HeaderEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A checked header; `dataStart` is the place of the first data byte in the file. */
export interface SafetensorsHeader {
  readonly metadata: Map<string, string>;
  readonly entries: Map<string, HeaderEntry>;
  readonly dataStart: number;
}

/** Reads the header of `bytes`, the whole of a file called `file`; refuses what breaks a rule. */
export function readHeader(bytes: Uint8Array, file: string): SafetensorsHeader {
  const headerLength = readLength(bytes, file);
  const dataStart = PREFIX + headerLength;
  const dataLength = bytes.length - dataStart;
  const reader = new JsonReader(bytes.subarray(PREFIX, dataStart), `The header of ${file}`);
  let metadata: Map<string, string> | undefined;
  const entries = new Map<string, HeaderEntry>();
  let total = 0;
  reader.object((name) => {
    if (name === "__metadata__") {
      if (metadata !== undefined) reader.fail("__metadata__ appears twice");
      metadata = readMetadata(reader);
      return;
    }
    if (entries.has(name)) reader.fail(`the tensor ${quote(name)} appears twice`);
    const entry = readEntry(reader, name);
    // The ranges must tile the data exactly. A file of many tensors over the same bytes is refused as
    // soon as they claim more than there is, before the rest is read.
    total += entry.end - entry.begin;
    if (total > dataLength) {
      reader.fail(
        `up to ${quote(name)} the tensors claim ${total} bytes, but only ${dataLength} follow the header; ` +
          "the file is cut off, or its tensors overlap",
      );
    }
    entries.set(name, entry);
  });
  reader.end();
  return {
    metadata: metadata ?? new Map(),
    entries: inFileOrder(entries, dataLength, file),
    dataStart,
  };
}

function readLength(bytes: Uint8Array, file: string): number {
  if (bytes.length < PREFIX) {
    throw new FormatError(
      `${file} is too small for a safetensors file: it has ${bytes.length} bytes, and the length of the ` +
        "header alone takes 8. Fetch or copy it again.",
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, PREFIX);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER)) {
    throw new FormatError(
      `${file} announces a header of ${length} bytes, too large: at most ${MAX_HEADER} are allowed. ` +
        "It is damaged, or not a safetensors file.",
    );
  }
  if (PREFIX + Number(length) > bytes.length) {
    throw new FormatError(
      `${file} has an invalid header length: it announces ${length} bytes, but only ` +
        `${bytes.length - PREFIX} follow. It is cut off, or not a safetensors file.`,
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
    metadata.set(key, reader.string());
  });
  return metadata;
}

function readEntry(reader: JsonReader, name: string): HeaderEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  if (reader.peek() !== "{") reader.fail(`the tensor ${quote(name)} must be an object`);
  reader.object((key) => {
    if (key === "dtype" && dtype === undefined) dtype = reader.string();
    else if (key === "shape" && shape === undefined) shape = readIntegers(reader, name);
    else if (key === "data_offsets" && offsets === undefined) offsets = readIntegers(reader, name);
    else
      reader.fail(`the tensor ${quote(name)} has the key ${quote(key)} twice or beyond the format`);
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return reader.fail(`the tensor ${quote(name)} lacks dtype, shape or data_offsets`);
  }
  if (!isDtype(dtype)) {
    return reader.fail(`the tensor ${quote(name)} has the unknown dtype ${quote(dtype)}`);
  }
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined || end < begin) {
    return reader.fail(`the tensor ${quote(name)} has no valid pair of data_offsets`);
  }
  const size = tensorBytes(dtype, shape);
  if (typeof size === "string") return reader.fail(`the tensor ${quote(name)}: ${size}`);
  if (size !== end - begin) {
    return reader.fail(
      `the tensor ${quote(name)}, ${dtype} [${shape.slice(0, 8)}], needs ${size} bytes but has ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

function readIntegers(reader: JsonReader, name: string): number[] {
  const numbers: number[] = [];
  reader.array(() => {
    const text = reader.number();
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) {
      reader.fail(
        `the tensor ${quote(name)} has ${quote(text)} where a whole number from 0 to 2^53 - 1 must stand`,
      );
    }
    numbers.push(value);
  });
  return numbers;
}

/** Sorts by place in the file and checks that the tensors cover the data exactly. */
function inFileOrder(
  entries: ReadonlyMap<string, HeaderEntry>,
  dataLength: number,
  file: string,
): Map<string, HeaderEntry> {
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
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
  if (previous !== dataLength) {
    throw new FormatError(
      `${file} is not valid: its tensors end at byte ${previous} of the data, but ${dataLength} bytes ` +
        "follow the header. It is cut off, or something was appended.",
    );
  }
  return new Map(sorted);
}
