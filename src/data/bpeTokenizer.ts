// Byte-level BPE, as GPT-2, Llama 3, SmolLM2 and Qwen 2 use it:
//   text -> added tokens split off -> normalised -> pre-tokens -> bytes -> merges (merges.ts) -> ids
// Added tokens (such as <|endoftext|>) that stand in the text are recognised before everything else, the longest
// first, as in Hugging Face's tokenizers; `allowSpecial: false` treats the special ones as ordinary text.
// A lone surrogate is no character and is encoded as U+FFFD; every other string comes back from `decode` unchanged
// unless the tokenizer normalises or adds a leading space.
import { FormatError, UsageError } from "../core/error.ts";
import { byteCharacters, tokenToBytes } from "./byteLevel.ts";
import type { Component } from "./jsonFields.ts";
import { MergeTable } from "./merges.ts";
import { buildPreTokenizer, type Splitter } from "./preTokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Unicode's normal forms. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** A token that is found in the text as it stands, before the pre-tokens are cut. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Carries no text of its own: control tokens such as the end of a document. */
  readonly special: boolean;
  /** Looked for after normalisation. */
  readonly normalized: boolean;
}

/** All that a byte-level BPE tokenizer is made of. */
export interface BpeDefinition {
  /** Ids of the tokens, spelled in the byte alphabet of byteLevel.ts. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Pairs in order of rank; both parts and their join are in `vocab`. */
  readonly merges: readonly (readonly [string, string])[];
  readonly addedTokens: readonly AddedToken[];
  readonly preTokenizer: Component;
  readonly normalForms?: readonly NormalForm[];
  /** The id of a byte that has no token of its own; without it such a byte is an error. */
  readonly unkTokenId?: number | undefined;
  /** A pre-token that is in the vocabulary as a whole is taken as it is. */
  readonly ignoreMerges?: boolean;
  /** Ids put before and after a text when `addSpecialTokens` is asked for. */
  readonly prefixIds?: readonly number[];
  readonly suffixIds?: readonly number[];
  readonly bosTokenId?: number | undefined;
  readonly eosTokenId?: number | undefined;
}

/** Options of `BpeTokenizer.encode`. */
export interface EncodeOptions {
  /** Recognise special tokens that stand in the text; default true. */
  readonly allowSpecial?: boolean;
  /** Add the begin and end tokens of the tokenizer's template; default false. */
  readonly addSpecialTokens?: boolean;
}

/** Options of `BpeTokenizer.decode`. */
export interface DecodeOptions {
  /** Leave special tokens out of the text; default false. */
  readonly skipSpecialTokens?: boolean;
}

const CACHE_ENTRIES = 1 << 16;
// Longer pre-tokens (a run of spaces, a line without one) are not worth remembering.
const CACHE_LENGTH = 64;

// Splits a text at added tokens; the odd pieces are the tokens. Leftmost first, and the longest of those.
function addedPattern(tokens: readonly AddedToken[]): RegExp | undefined {
  if (tokens.length === 0) return undefined;
  const contents = tokens.map((token) => token.content).sort((a, b) => b.length - a.length);
  const escaped = contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  return new RegExp(`(${escaped.join("|")})`);
}

/** A byte-level BPE tokenizer. */
export class BpeTokenizer implements Tokenizer {
  readonly definition: BpeDefinition;
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly #bytes: (Uint8Array | undefined)[] = [];
  readonly #byteIds: Int32Array = new Int32Array(256).fill(-1);
  readonly #merges: MergeTable;
  readonly #split: Splitter;
  readonly #added = new Map<string, AddedToken>();
  readonly #specialIds = new Set<number>();
  readonly #patterns = new Map<string, RegExp | undefined>();
  readonly #cache = new Map<string, readonly number[]>();
  readonly #wholeTokens: ReadonlyMap<string, number> | undefined;
  readonly #encoder = new TextEncoder();

  /** @throws FormatError if a merge names a token that is not in the vocabulary */
  constructor(definition: BpeDefinition) {
    this.definition = definition;
    const encoder = this.#encoder;
    let size = 0;
    for (const [token, id] of definition.vocab) {
      this.#bytes[id] = tokenToBytes(token) ?? encoder.encode(token);
      size = Math.max(size, id + 1);
    }
    for (const token of definition.addedTokens) {
      this.#bytes[token.id] = encoder.encode(token.content);
      this.#added.set(token.content, token);
      if (token.special) this.#specialIds.add(token.id);
      size = Math.max(size, token.id + 1);
    }
    this.vocabSize = size;
    for (const [byte, character] of byteCharacters.entries()) {
      const id = definition.vocab.get(character) ?? definition.unkTokenId;
      if (id !== undefined) this.#byteIds[byte] = id;
    }
    this.#merges = new MergeTable(size);
    for (const [rank, [left, right]] of definition.merges.entries()) {
      const ids = [left, right, left + right].map((token) => definition.vocab.get(token));
      const [leftId, rightId, merged] = ids;
      if (leftId === undefined || rightId === undefined || merged === undefined) {
        const missing = [left, right, left + right][ids.indexOf(undefined)];
        throw new FormatError(
          `Merge ${rank} ("${left}" + "${right}") names the token "${missing}", which is not in the vocabulary.`,
        );
      }
      this.#merges.add(leftId, rightId, rank, merged);
    }
    this.#split = buildPreTokenizer(definition.preTokenizer);
    this.#wholeTokens = definition.ignoreMerges === true ? this.#tokensByText() : undefined;
    for (const allowSpecial of [true, false]) {
      const wanted = definition.addedTokens.filter((token) => allowSpecial || !token.special);
      for (const normalized of [true, false]) {
        const tokens = wanted.filter((token) => token.normalized === normalized);
        this.#patterns.set(`${allowSpecial} ${normalized}`, addedPattern(tokens));
      }
    }
    this.bosTokenId = definition.bosTokenId;
    this.eosTokenId = definition.eosTokenId;
  }

  /**
   * The ids of a text. The two parts of a text may give other ids than the whole.
   * @throws UsageError for a byte that the vocabulary of a foreign tokenizer does not know
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { prefixIds, suffixIds, normalForms = [] } = this.definition;
    const ids: number[] = [];
    const { allowSpecial = true, addSpecialTokens = false } = options;
    if (addSpecialTokens && prefixIds !== undefined) ids.push(...prefixIds);
    const raw = this.#patterns.get(`${allowSpecial} false`);
    this.#encodeParts(text, raw, ids, (part) => {
      const normal = normalForms.reduce((piece, form) => piece.normalize(form), part);
      const pattern = this.#patterns.get(`${allowSpecial} true`);
      this.#encodeParts(normal, pattern, ids, (piece) => this.#encodeText(piece, ids));
    });
    if (addSpecialTokens && suffixIds !== undefined) ids.push(...suffixIds);
    return Int32Array.from(ids);
  }

  /** The text of ids. @throws UsageError for an id outside the vocabulary */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const skip = options.skipSpecialTokens === true;
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (skip && this.#specialIds.has(id)) continue;
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

  /** The bytes that a token stands for; often only a part of a character. Not to be written to. */
  tokenBytes(id: number): Uint8Array {
    const bytes = this.#bytes[id];
    if (bytes === undefined) {
      throw new UsageError(
        `Token id ${id} is not in the vocabulary, whose ids are 0 to ${this.vocabSize - 1}. ` +
          "Do the ids come from another tokenizer?",
      );
    }
    return bytes;
  }

  /** The id of an added token such as "<|endoftext|>", if there is one. */
  addedTokenId(content: string): number | undefined {
    return this.#added.get(content)?.id;
  }

  #encodeParts(
    text: string,
    pattern: RegExp | undefined,
    ids: number[],
    encodePart: (part: string) => void,
  ): void {
    const parts = pattern === undefined ? [text] : text.split(pattern);
    for (const [i, part] of parts.entries()) {
      if (i % 2 === 1) ids.push(this.#added.get(part)!.id);
      else if (part !== "") encodePart(part);
    }
  }

  #encodeText(text: string, ids: number[]): void {
    for (const word of this.#split(text)) {
      for (const id of this.#encodeWord(word)) ids.push(id);
    }
  }

  #encodeWord(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const whole = this.#wholeTokens?.get(word);
    let ids: readonly number[];
    if (whole !== undefined) {
      ids = [whole];
    } else {
      const bytes = this.#encoder.encode(word);
      ids = this.#merges.apply(Array.from(bytes, (byte) => this.#byteId(byte, word)));
    }
    if (word.length <= CACHE_LENGTH) {
      if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  #byteId(byte: number, word: string): number {
    const id = this.#byteIds[byte]!;
    if (id >= 0) return id;
    throw new UsageError(
      `${JSON.stringify(word)} cannot be encoded: the vocabulary has no token for its byte ${byte} ` +
        "and no unknown token; expected a text that the tokenizer was made for.",
    );
  }

  #tokensByText(): Map<string, number> {
    const texts = new Map<string, number>();
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    for (const [token, id] of this.definition.vocab) {
      const bytes = tokenToBytes(token);
      if (bytes === undefined) continue;
      try {
        texts.set(decoder.decode(bytes), id);
      } catch {
        // Part of a character: no pre-token can be equal to it.
      }
    }
    return texts;
  }
}
