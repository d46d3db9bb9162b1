// What the rest of lowrank knows of a tokenizer: text to ids and back. Any object with these members will do.
// DecodeStream turns ids that arrive one by one into text, for printing while a model is still writing.

import { expectBoolean, expectNumber, expectText, isNumberList, wrongKind } from "../core/kind.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id that begins a document, if documents begin with one. */
  readonly bosTokenId?: number | undefined;
  /** The id that ends a document, if documents end with one. */
  readonly eosTokenId?: number | undefined;
  /** Ids put before a text; default: the begin token, if there is one. */
  readonly beginIds?: readonly number[] | undefined;
  /** Ids put after a text that is trained; default: the end token, if there is one. */
  readonly endIds?: readonly number[] | undefined;
  /** Ids at which generation ends; default: the end token, if there is one. */
  readonly stopTokenIds?: readonly number[] | undefined;
  /** How many bytes of a text a special token takes that is spelled in it; 0 for other tokens, which is the default. */
  controlBytes?(id: number): number;
  /** The ids of a text. No begin or end token is added. */
  encode(text: string): ArrayLike<number>;
  /** The text of ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
}

/** Throws unless this is a tokenizer, whoever made it. */
export function expectTokenizer(tokenizer: Tokenizer): void {
  const { encode, decode } = Object(tokenizer) as Partial<Tokenizer>;
  if (typeof encode === "function" && typeof decode === "function") return;
  throw wrongKind(
    "The tokenizer",
    tokenizer,
    "an object with encode() and decode()",
    "model.tokenizer is one.",
  );
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

const ENCODE_OPTIONS: OptionNames<EncodeOptions> = { allowSpecial: true, addSpecialTokens: true };
const DECODE_OPTIONS: OptionNames<DecodeOptions> = { skipSpecialTokens: true };

/** Throws unless this is a text to encode, with options that make sense. */
export function expectToEncode(text: string, options: EncodeOptions = NO_OPTIONS): void {
  expectText("What encode() takes", text);
  expectOptions(options, ENCODE_OPTIONS, "encode");
  const { allowSpecial = true, addSpecialTokens = false } = options;
  expectBoolean("allowSpecial", allowSpecial);
  expectBoolean("addSpecialTokens", addSpecialTokens);
}

/** Throws unless these are ids to decode, with options that make sense. */
export function expectToDecode(ids: ArrayLike<number>, options: DecodeOptions = NO_OPTIONS): void {
  if (!isNumberList(ids)) throw wrongKind("What decode() takes", ids, "an array of token ids");
  expectOptions(options, DECODE_OPTIONS, "decode");
}

const REPLACEMENT = "\ufffd";

/**
 * Decodes ids one by one. A character that is spread over several tokens is held back until it is whole, so that
 * the pieces joined are the text that `decode` gives for all ids at once.
 *
 * The window technique of vLLM: decode the last finished piece with and without the new ids, and take the difference;
 * so tokenizers whose decoding depends on the token before (a leading space dropped) come out right as well.
 */
export class DecodeStream {
  readonly #tokenizer: Tokenizer;
  #ids: number[] = [];
  // ids[0 .. finished) are printed already and serve as context.
  #finished = 0;

  constructor(tokenizer: Tokenizer) {
    expectTokenizer(tokenizer);
    this.#tokenizer = tokenizer;
  }

  /** Takes the next id and returns the text that is now complete, often the empty string. */
  push(id: number): string {
    expectNumber("A token id", id);
    this.#ids.push(id);
    const whole = this.#tokenizer.decode(this.#ids);
    if (whole.endsWith(REPLACEMENT)) return "";
    return this.#advance(whole);
  }

  /** Ends the stream and returns what was held back, with U+FFFD for an unfinished character. */
  end(): string {
    const text = this.#advance(this.#tokenizer.decode(this.#ids));
    this.#ids = [];
    this.#finished = 0;
    return text;
  }

  #advance(whole: string): string {
    const context = this.#ids.slice(0, this.#finished);
    const text = whole.slice(this.#tokenizer.decode(context).length);
    this.#ids = this.#ids.slice(this.#finished);
    this.#finished = this.#ids.length;
    return text;
  }
}
