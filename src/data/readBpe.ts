// The `model` of a tokenizer.json: its vocabulary and its merges become tables at once, without a string for each.
import { JsonReader } from "../core/json-reader.ts";
import { decode, unescapeInto } from "../core/json-string.ts";
import type { BpeDefinition } from "./bpeDefinition.ts";
import { asId, bare, fail, LARGEST_ID, show } from "./jsonFields.ts";
import { failMerge, MergeTable } from "./merges.ts";
import type { ModelKey, Place, TokenizerFile } from "./tokenizerFile.ts";
import { type Piece, TokenTable } from "./tokenTable.ts";

const BLANK = 0x20;

// Fields of the model that change what is encoded, with the values that mean "off".
const refusedModelFields: readonly (readonly [ModelKey, readonly unknown[]])[] = [
  ["dropout", [null, undefined, 0]],
  ["continuing_subword_prefix", [null, undefined, ""]],
  ["end_of_word_suffix", [null, undefined, ""]],
  ["byte_fallback", [null, undefined, false]],
];

/** The `model`: its vocabulary, its merges, and how they are applied. */
export interface BpeParts extends Pick<BpeDefinition, "unkTokenId" | "ignoreMerges"> {
  readonly vocabulary: TokenTable;
  readonly merges: MergeTable;
}

/** Reads the `model`. @throws FormatError that names what is broken or not supported */
export function readBpe(file: TokenizerFile): BpeParts {
  const place = file.places.get("model");
  if (place === undefined || file.at(place).peek() !== "{") fail("model must be an object.");
  const places = file.modelPlaces;
  const small = (key: ModelKey) => file.small(places.get(key), `model.${key}`);
  // Files older than 2020 leave the type of a BPE model out.
  const type = small("type") ?? "BPE";
  if (type !== "BPE")
    fail(
      `the model ${typeof type === "string" ? bare(type) : show(type)} is not supported; expected BPE.`,
    );
  for (const [field, off] of refusedModelFields) {
    const value = small(field);
    if (!off.includes(value)) fail(`model.${field} is ${show(value)}, which is not supported.`);
  }
  const vocabulary = readVocab(file, places.get("vocab"));
  const unk = small("unk_token");
  const unkTokenId = typeof unk === "string" ? vocabulary.find(unk) : undefined;
  if (unkTokenId !== undefined && small("fuse_unk") === true) {
    fail("model.fuse_unk is true, which is not supported.");
  }
  const ignoreMerges = small("ignore_merges") === true;
  const merges = readMerges(file, places.get("merges"), vocabulary);
  return { vocabulary, merges, unkTokenId, ignoreMerges };
}

function readVocab(file: TokenizerFile, place: Place | undefined): TokenTable {
  const reader = place === undefined ? undefined : file.at(place);
  if (place === undefined || reader?.peek() !== "{") return fail("model.vocab must be an object.");
  const vocabulary = new TokenTable(reader.bytes, place.values);
  reader.expect("{");
  if (reader.take("}")) return vocabulary;
  do {
    reader.peek();
    const begin = reader.position;
    const escaped = reader.skipString();
    const end = reader.position;
    reader.expect(":");
    const name = () => show(new JsonReader(reader.bytes, reader.file, begin).string());
    const isNumber = /[-0-9]/.test(reader.peek());
    const { position } = reader;
    const id = isNumber ? reader.index() : -1;
    if (id < 0 || id > LARGEST_ID) {
      asId(file.take(file.at({ position }), "an id"), `the token ${name()}`);
      // A number that is whole, though spelled as a fraction or with an exponent.
      return fail(`the id of the token ${name()} must be written with digits alone.`);
    }
    const other = vocabulary.add(begin + 1, end - 1, escaped, id);
    if (other !== undefined && show(other) === name()) {
      fail(`the token ${name()} is in the vocabulary twice.`);
    }
    if (other !== undefined) {
      fail(`the tokens ${show(other)} and ${name()} have the same id ${id}.`);
    }
  } while (reader.take(","));
  return vocabulary;
}

/** The strings of merges, unescaped where they have to be. */
class Pieces {
  readonly #reader: JsonReader;
  readonly #scratch = [new Uint8Array(64), new Uint8Array(64)];
  readonly left: Piece;
  readonly right: Piece;

  constructor(reader: JsonReader) {
    this.#reader = reader;
    this.left = { bytes: reader.bytes, begin: 0, end: 0 };
    this.right = { bytes: reader.bytes, begin: 0, end: 0 };
  }

  /** Reads the string that comes next into `piece`. */
  read(piece: Piece): void {
    const reader = this.#reader;
    reader.peek();
    const begin = reader.position + 1;
    const escaped = reader.skipString();
    const end = reader.position - 1;
    piece.bytes = reader.bytes;
    piece.begin = begin;
    piece.end = end;
    if (!escaped) return;
    const which = piece === this.left ? 0 : 1;
    if (this.#scratch[which]!.length < end - begin) {
      this.#scratch[which] = new Uint8Array(2 * (end - begin));
    }
    piece.bytes = this.#scratch[which]!;
    piece.begin = 0;
    piece.end = unescapeInto(reader.bytes, begin, end, piece.bytes, 0);
  }

  /** Reads "a b" into both; false if it has not one blank. */
  readBoth(): boolean {
    const { left, right } = this;
    this.read(left);
    const { bytes, end } = left;
    const blank = bytes.indexOf(BLANK, left.begin);
    if (blank < 0 || blank >= end) return false;
    right.bytes = bytes;
    right.begin = blank + 1;
    right.end = end;
    left.end = blank;
    const second = bytes.indexOf(BLANK, right.begin);
    return second < 0 || second >= end;
  }

  /** Reads ["a", "b"] into both; false if it is not made so. */
  readList(): boolean {
    const reader = this.#reader;
    reader.expect("[");
    if (reader.peek() !== '"') return false;
    this.read(this.left);
    if (!reader.take(",") || reader.peek() !== '"') return false;
    this.read(this.right);
    return reader.take("]");
  }
}

// A list of two strings is three values.
function valuesOfMerge(reader: JsonReader): number {
  reader.expect("[");
  return reader.peek() === "[" ? 3 : 1;
}

function readMerges(
  file: TokenizerFile,
  place: Place | undefined,
  vocabulary: TokenTable,
): MergeTable {
  const reader = place === undefined ? undefined : file.at(place);
  if (place === undefined || reader?.peek() !== "[") return fail("model.merges must be a list.");
  const table = new MergeTable(Math.floor(place.values / valuesOfMerge(file.at(place))));
  const pieces = new Pieces(reader);
  const { left, right } = pieces;
  let rank = 0;
  reader.array(() => {
    const first = reader.peek();
    const { position } = reader;
    const isPair = first === '"' ? pieces.readBoth() : first === "[" && pieces.readList();
    if (!isPair) {
      const merge = file.take(file.at({ position }), `merge ${rank}`);
      fail(`merge ${rank} is ${show(merge)}; expected "a b" or ["a", "b"].`);
    }
    const leftId = vocabulary.findJoined(left);
    const rightId = vocabulary.findJoined(right);
    const merged = vocabulary.findJoined(left, right);
    if (leftId < 0 || rightId < 0 || merged < 0) {
      const texts = [left, right].map((piece) => decode(piece.bytes, piece.begin, piece.end));
      failMerge(rank, texts[0]!, texts[1]!, leftId < 0 ? 0 : rightId < 0 ? 1 : 2);
    }
    table.add(leftId, rightId, rank++, merged);
  });
  return table;
}
