// The `added_tokens` of a tokenizer.json.
import type { JsonReader } from "../core/json-reader.ts";
import type { AddedToken } from "./bpeDefinition.ts";
import { IdBuffer } from "./idBuffer.ts";
import { asId, fail, LARGEST_ID, show } from "./jsonFields.ts";
import type { Place, TokenizerFile } from "./tokenizerFile.ts";
import { TokenTable } from "./tokenTable.ts";

const keys = ["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"] as const;
const placements: readonly string[] = ["single_word", "lstrip", "rstrip"];

/** The entry of the list that was read last; one object for all of them, since there may be hundreds of thousands. */
class Entry {
  id = -1;
  // Its content, as a place in the file.
  begin = 0;
  end = 0;
  escaped = false;
  placement: string | undefined;
  special = false;
  normalized = false;
  #idAt = -1;
  readonly #file: TokenizerFile;
  readonly #reader: JsonReader;
  readonly #visit = (key: string): void => this.#member(key);

  constructor(file: TokenizerFile, reader: JsonReader) {
    this.#file = file;
    this.#reader = reader;
  }

  /** Reads entry number `index`. */
  read(index: number): void {
    if (this.#reader.peek() !== "{") fail(`added_tokens[${index}] must be an object.`);
    this.id = -1;
    this.begin = 0;
    this.end = 0;
    this.placement = undefined;
    this.special = false;
    this.normalized = false;
    this.#idAt = -1;
    this.#reader.object(this.#visit, keys);
    if (this.begin === this.end) fail(`added_tokens[${index}] has no content.`);
    if (this.id >= 0 && this.id <= LARGEST_ID) return;
    const where = `added_tokens[${index}]`;
    const position = this.#idAt;
    // A number that is whole, though spelled as a fraction or with an exponent, is taken as well.
    this.id = asId(
      position < 0 ? undefined : this.#file.take(this.#file.at({ position }), where),
      where,
    );
  }

  /** The content as text. */
  content(): string {
    return this.#file.at({ position: this.begin - 1 }).string();
  }

  #member(key: string): void {
    const reader = this.#reader;
    const first = reader.peek();
    if (key === "content" && first === '"') {
      this.begin = reader.position + 1;
      this.escaped = reader.skipString();
      this.end = reader.position - 1;
    } else if (key === "id") {
      this.#idAt = reader.position;
      if (first === "-" || (first >= "0" && first <= "9")) this.id = reader.index();
      else reader.skip();
    } else if (first === "t") {
      reader.word();
      if (placements.includes(key)) this.placement = key;
      if (key === "special") this.special = true;
      if (key === "normalized") this.normalized = true;
    } else {
      reader.skip();
    }
  }
}

/**
 * Reads `added_tokens`.
 * @throws FormatError for one that cannot be applied, or that contradicts the vocabulary or another one
 */
export function readAddedTokens(
  file: TokenizerFile,
  place: Place | undefined,
  vocabulary: TokenTable,
): AddedToken[] {
  const reader = place === undefined ? undefined : file.at(place);
  if (reader === undefined || reader.peek() === "n") return [];
  if (reader.peek() !== "[") return fail("added_tokens must be a list.");
  const table = new TokenTable(reader.bytes, 0);
  const flags = new IdBuffer(16);
  const entry = new Entry(file, reader);
  let count = 0;
  reader.array(() => {
    entry.read(count++);
    const { id } = entry;
    const other = table.add(entry.begin, entry.end, entry.escaped, id);
    // One that is listed twice is one.
    if (other !== undefined && other === entry.content() && table.find(other) === id) return;
    const known = other === undefined ? vocabulary.findJoined(table.piece(table.size - 1)) : -1;
    const taken = known < 0 && vocabulary.token(id) !== undefined;
    if (other !== undefined || taken || (known >= 0 && known !== id)) {
      fail(
        `the added token ${show(entry.content())} has the id ${id}, but the vocabulary says otherwise.`,
      );
    }
    if (entry.placement !== undefined) {
      fail(
        `the added token ${show(entry.content())} sets ${entry.placement}, which is not supported.`,
      );
    }
    flags.push((entry.special ? 1 : 0) + (entry.normalized ? 2 : 0));
  });
  return Array.from({ length: table.size }, (_, i) => ({
    id: table.id(i),
    content: table.text(i),
    special: (flags.at(i) & 1) !== 0,
    normalized: (flags.at(i) & 2) !== 0,
  }));
}
