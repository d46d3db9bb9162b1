// Byte-level BPE, as GPT-2, Llama 3, SmolLM2 and Qwen 2 use it:
//   text -> added tokens split off -> normalised -> pre-tokens -> bytes -> merges (merges.ts) -> ids
// Added tokens (such as <|endoftext|>) that stand in the text are recognised before everything else, the longest
// first, as in Hugging Face's tokenizers; `allowSpecial: false` treats the special ones as ordinary text. One that is
// looked for after normalisation is normalised as well, for its spelling in the file may occur no more.
// A lone surrogate is no character and is encoded as U+FFFD; every other string comes back from `decode` unchanged
// unless the tokenizer normalises or adds a leading space. The parts of a text are never all there at once: each
// pre-token is encoded as it is cut off.
import { UsageError } from "../core/error.ts";
import { quote } from "../core/json-reader.ts";
import { kindOf } from "../core/kind.ts";
import { TokenFinder } from "./addedTokens.ts";
import { type AddedToken, type BpeDefinition, checkDefinition } from "./bpeDefinition.ts";
import { byteCharacters, tokenToBytes } from "./byteLevel.ts";
import { IdBuffer } from "./idBuffer.ts";
import { failMerge, MergeTable } from "./merges.ts";
import { buildPreTokenizer, type Splitter } from "./preTokenizer.ts";
import {
  type DecodeOptions,
  type EncodeOptions,
  expectToDecode,
  expectToEncode,
  type Tokenizer,
} from "./tokenizer.ts";
import { byteLength, utf8Source } from "./utf8.ts";
import { MapVocabulary, type Vocabulary } from "./vocabulary.ts";

const CACHE_ENTRIES = 1 << 16;
// Longer pre-tokens (a run of spaces, a line without one) are not worth remembering.
const CACHE_LENGTH = 64;
// Up to so many bytes a pre-token is joined at once, else in windows.
const SHORT = 1 << 12;

/** Added tokens of one kind, and what finds them. */
class Finder {
  readonly #ids: readonly number[];
  readonly #contents: readonly string[];
  #finder: TokenFinder | undefined;

  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string) {
    const kept = tokens.map(({ id, content }) => ({ id, content: normalize(content) }));
    this.#ids = kept.map(({ id }) => id);
    this.#contents = kept.map(({ content }) => content);
  }

  split(text: string, takeText: (part: string) => void, takeId: (id: number) => void): void {
    if (this.#ids.length === 0) {
      takeText(text);
      return;
    }
    this.#finder ??= new TokenFinder(this.#contents);
    this.#finder.split(text, { text: takeText, token: (index) => takeId(this.#ids[index]!) });
  }
}

/** A byte-level BPE tokenizer. */
export class BpeTokenizer implements Tokenizer {
  readonly definition: BpeDefinition;
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly beginIds: readonly number[];
  readonly endIds: readonly number[];
  readonly stopTokenIds: readonly number[];
  readonly #vocabulary: Vocabulary;
  readonly #byteIds: Int32Array = new Int32Array(256).fill(-1);
  readonly #merges: MergeTable;
  readonly #split: Splitter;
  readonly #added = new Map<number, AddedToken>();
  readonly #finders = new Map<string, Finder>();
  readonly #cache = new Map<string, Int32Array>();
  // No longer pre-token is looked up as a whole.
  readonly #longestWhole: number;
  readonly #symbols = new Int32Array(SHORT + 4);

  /**
   * @param tables vocabulary and merges of the definition, where a reader has made tables of them already
   * @throws FormatError if a merge names a token that is not in the vocabulary
   */
  constructor(
    definition: BpeDefinition,
    tables?: { readonly vocabulary: Vocabulary; readonly merges: MergeTable },
  ) {
    // A reader makes the lists of a definition only for who asks.
    if (tables === undefined) checkDefinition(definition);
    this.definition = definition;
    const { bosTokenId, eosTokenId, prefixIds, suffixIds = [], stopTokenIds = [] } = definition;
    const listed = (id: number | undefined) => (id === undefined ? [] : [id]);
    this.bosTokenId = bosTokenId;
    this.eosTokenId = eosTokenId;
    this.beginIds = prefixIds ?? listed(bosTokenId);
    this.endIds = suffixIds.length > 0 ? suffixIds : listed(eosTokenId);
    const stops = [...listed(eosTokenId), ...this.endIds.slice(0, 1), ...stopTokenIds];
    this.stopTokenIds = [...new Set(stops)];
    this.#vocabulary = tables?.vocabulary ?? new MapVocabulary(definition.vocab);
    let size = this.#vocabulary.idLimit;
    for (const token of definition.addedTokens) {
      this.#added.set(token.id, token);
      size = Math.max(size, token.id + 1);
    }
    this.vocabSize = size;
    this.#longestWhole = definition.ignoreMerges === true ? this.#vocabulary.longest : 0;
    for (const [byte, character] of byteCharacters.entries()) {
      const id = this.#vocabulary.find(character) ?? definition.unkTokenId;
      if (id !== undefined) this.#byteIds[byte] = id;
    }
    this.#merges = tables?.merges ?? tableOf(definition);
    this.#split = buildPreTokenizer(definition.preTokenizer);
    for (const allowSpecial of [true, false]) {
      const wanted = definition.addedTokens.filter((token) => allowSpecial || !token.special);
      for (const normalized of [true, false]) {
        const tokens = wanted.filter((token) => token.normalized === normalized);
        const normalize = (text: string) => (normalized ? this.#normalize(text) : text);
        this.#finders.set(`${allowSpecial} ${normalized}`, new Finder(tokens, normalize));
      }
    }
  }

  /**
   * The ids of a text. The two parts of a text may give other ids than the whole.
   * @throws UsageError for a byte that the vocabulary of a foreign tokenizer does not know, and for a token that the
   *   model does not have
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    expectToEncode(text, options);
    const { prefixIds = [], suffixIds = [], modelVocabSize } = this.definition;
    const { allowSpecial = true, addSpecialTokens = false } = options;
    const ids = new IdBuffer(byteLength(text) + prefixIds.length + suffixIds.length);
    const finder = (normalized: boolean) => this.#finders.get(`${allowSpecial} ${normalized}`)!;
    const take = (id: number) => ids.push(id);
    const takeWord = (word: string) => this.#encodeWord(word, ids);
    if (addSpecialTokens) ids.pushAll(prefixIds);
    finder(false).split(
      text,
      (part) =>
        finder(true).split(this.#normalize(part), (piece) => this.#split(piece, takeWord), take),
      take,
    );
    if (addSpecialTokens) ids.pushAll(suffixIds);
    const result = ids.finish();
    if (modelVocabSize !== undefined && modelVocabSize < this.vocabSize) {
      for (const id of result) if (id >= modelVocabSize) this.#refuse(id, modelVocabSize);
    }
    return result;
  }

  /** The text of ids; an id that only the model has spells nothing. @throws UsageError for an id beyond both */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    expectToDecode(ids, options);
    const skip = options.skipSpecialTokens === true;
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (skip && this.#added.get(id)?.special === true) continue;
      const bytes = this.tokenBytes(id);
      parts.push(bytes);
      length += bytes.length;
    }
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const part of parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    // Without ignoreBOM a U+FEFF at the beginning would be swallowed.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /**
   * The bytes that a token stands for; often only a part of a character, and none for an id without a token.
   * @throws UsageError for an id beyond those of the vocabulary and of the model
   */
  tokenBytes(id: number): Uint8Array {
    const added = this.#added.get(id)?.content;
    const token = added ?? (typeof id === "number" ? this.#vocabulary.token(id) : undefined);
    if (token !== undefined) {
      const bytes = added === undefined ? tokenToBytes(token) : undefined;
      return bytes ?? new TextEncoder().encode(token);
    }
    const ids = Math.max(this.vocabSize, this.definition.modelVocabSize ?? 0);
    if (Number.isInteger(id) && id >= 0 && id < ids) return new Uint8Array(0);
    throw new UsageError(
      `Token id ${kindOf(id)} is not in the vocabulary, whose ids are 0 to ${ids - 1}. ` +
        "Do the ids come from another tokenizer?",
    );
  }

  /** How many bytes of a text a special token takes that is spelled in it; 0 for other tokens. */
  controlBytes(id: number): number {
    const token = this.#added.get(id);
    return token?.special === true ? byteLength(token.content) : 0;
  }

  /** The id of an added token such as "<|endoftext|>", if there is one. */
  addedTokenId(content: string): number | undefined {
    return this.definition.addedTokens.find((token) => token.content === content)?.id;
  }

  #normalize(text: string): string {
    const { normalForms = [] } = this.definition;
    return normalForms.reduce((piece, form) => piece.normalize(form), text);
  }

  #encodeWord(word: string, ids: IdBuffer): void {
    if (word.length > CACHE_LENGTH) {
      this.#joinWord(word, ids);
      return;
    }
    const known = this.#cache.get(word);
    if (known !== undefined) {
      ids.pushAll(known);
      return;
    }
    const from = ids.length;
    this.#joinWord(word, ids);
    if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear();
    this.#cache.set(word, ids.copy(from));
  }

  #joinWord(word: string, ids: IdBuffer): void {
    const bytes = utf8Source(word);
    if (word.length <= this.#longestWhole) {
      const whole = this.#vocabulary.find(spell(word));
      if (whole !== undefined) {
        ids.push(whole);
        return;
      }
    }
    const fill = (symbols: Int32Array, at: number, full: number): number => {
      const end = bytes(symbols, at, full);
      for (let i = at; i < end; i++) symbols[i] = this.#byteId(symbols[i]!, word);
      return end;
    };
    // Three bytes a unit at most.
    if (3 * word.length >= SHORT) {
      this.#merges.joinAll(fill, ids);
      return;
    }
    const n = fill(this.#symbols, 0, SHORT);
    this.#merges.join(this.#symbols, n, n, ids);
  }

  #byteId(byte: number, word: string): number {
    const id = this.#byteIds[byte]!;
    if (id >= 0) return id;
    throw new UsageError(
      `${quote(word)} cannot be encoded: the vocabulary has no token for its byte ${byte} ` +
        "and no unknown token; expected a text that the tokenizer was made for.",
    );
  }

  #refuse(id: number, modelVocabSize: number): never {
    const token = new TextDecoder().decode(this.tokenBytes(id));
    throw new UsageError(
      `The text holds the token ${quote(token)}, whose id is ${id}, but the model has rows for the ids 0 to ` +
        `${modelVocabSize - 1} only. Take it out of the text, or use a model whose embedding was resized.`,
    );
  }
}

// A word in the byte alphabet, as a vocabulary spells it.
function spell(word: string): string {
  return Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte]).join("");
}

function tableOf({ vocab, merges }: BpeDefinition): MergeTable {
  const table = new MergeTable();
  for (const [rank, [left, right]] of merges.entries()) {
    const leftId = vocab.get(left);
    const rightId = vocab.get(right);
    const merged = vocab.get(left + right);
    if (leftId === undefined || rightId === undefined || merged === undefined) {
      return failMerge(rank, left, right, leftId === undefined ? 0 : rightId === undefined ? 1 : 2);
    }
    table.add(leftId, rightId, rank, merged);
  }
  return table;
}
