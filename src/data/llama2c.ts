// The tokenizer file of llama2.c (`tok512.bin`), a SentencePiece BPE of scored tokens:
//   int32 longest token; then for each token float32 score, int32 length, its bytes (little endian)
//   ids 0 <unk>, 1 <s>, 2 </s>, byte b is id b + 3, then the characters and longer tokens
// Encoding: a space in front, one token a character (its bytes where it has none), then the pair of neighbours whose
// join has the best score, the leftmost of equals, until no join is a token. The whole text is one sequence.
import { FormatError, UsageError } from "../core/error.ts";
import { expectBytes, isNumberList, kindOf, wrongKind } from "../core/kind.ts";
import { IdBuffer } from "./idBuffer.ts";
import { MergeTable } from "./merges.ts";
import { expectToDecode, expectToEncode, type Tokenizer } from "./tokenizer.ts";
import { byteLength } from "./utf8.ts";

const BOS = 1;
const EOS = 2;
const FIRST_BYTE = 3;
const FIRST_TEXT = FIRST_BYTE + 256;

/** The tokenizer of the llama2.c checkpoints. */
export class Llama2cTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId: number = BOS;
  readonly eosTokenId: number = EOS;
  readonly #tokens: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #merges: MergeTable;
  readonly #modelVocabSize: number;

  /**
   * @param tokens texts by id
   * @param scores the greater, the earlier a join
   * @param modelVocabSize how many tokens the model has: ids from `tokens.length` on that only it has spell nothing
   */
  constructor(tokens: readonly string[], scores: readonly number[], modelVocabSize?: number) {
    if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === "string")) {
      throw wrongKind("tokens", tokens, "an array of texts");
    }
    if (!isNumberList(scores)) throw wrongKind("scores", scores, "an array of numbers");
    this.vocabSize = tokens.length;
    this.#modelVocabSize = modelVocabSize ?? tokens.length;
    this.#tokens = tokens;
    const ids = new Map<string, number>();
    for (let id = FIRST_TEXT; id < tokens.length; id++) ids.set(tokens[id]!, id);
    this.#ids = ids;
    this.#merges = new MergeTable();
    // Equal scores must have equal ranks, for then the place in the text decides.
    const levels = [...new Set(scores)].sort((a, b) => b - a);
    const rankOf = new Map(levels.map((score, rank) => [score, rank]));
    for (const [token, id] of ids) {
      for (let cut = 1; cut < token.length; cut++) {
        const left = ids.get(token.slice(0, cut));
        const right = ids.get(token.slice(cut));
        if (left === undefined || right === undefined) continue;
        this.#merges.add(left, right, rankOf.get(scores[id]!)!, id);
      }
    }
  }

  encode(text: string): Int32Array {
    expectToEncode(text);
    if (text === "") return new Int32Array(0);
    const encoder = new TextEncoder();
    const whole = ` ${text}`;
    const out = new IdBuffer(byteLength(whole));
    let from = 0;
    this.#merges.joinAll((symbols, at, full) => {
      let end = at;
      while (end < full && from < whole.length) {
        const character = String.fromCodePoint(whole.codePointAt(from)!);
        from += character.length;
        const id = this.#ids.get(character);
        if (id !== undefined) symbols[end++] = id;
        else for (const byte of encoder.encode(character)) symbols[end++] = FIRST_BYTE + byte;
      }
      return end;
    }, out);
    return out.finish();
  }

  /** The text without the space that `encode` puts in front; `<s>`, `</s>` and `<unk>` have no text. */
  decode(ids: ArrayLike<number>): string {
    expectToDecode(ids);
    const encoder = new TextEncoder();
    const bytes: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      const token = this.#tokens[id];
      if (token === undefined) {
        if (Number.isInteger(id) && id >= 0 && id < this.#modelVocabSize) continue;
        throw new UsageError(`Token id ${id} is not among the ${this.vocabSize} of the tokenizer.`);
      }
      if (id >= FIRST_TEXT) for (const byte of encoder.encode(token)) bytes.push(byte);
      else if (id >= FIRST_BYTE) bytes.push(id - FIRST_BYTE);
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return text.startsWith(" ") ? text.slice(1) : text;
  }
}

/**
 * Reads a llama2.c tokenizer file with `vocabSize` tokens (the file itself does not say how many).
 * @param modelVocabSize how many tokens the model has, if more: those spell nothing
 * @throws FormatError if the file is shorter or longer than its tokens, or holds no bytes tokens
 */
export function readLlama2cTokenizer(
  bytes: Uint8Array,
  vocabSize: number,
  modelVocabSize: number = vocabSize,
): Llama2cTokenizer {
  expectBytes("The llama2.c tokenizer", bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const tokens: string[] = [];
  const scores: number[] = [];
  if (!Number.isInteger(vocabSize) || vocabSize < FIRST_TEXT) {
    throw new FormatError(
      `The llama2.c tokenizer shall have ${kindOf(vocabSize)} tokens; expected at least ${FIRST_TEXT}.`,
    );
  }
  let at = 4;
  for (let id = 0; id < vocabSize; id++) {
    const length = at + 8 <= bytes.length ? view.getInt32(at + 4, true) : -1;
    if (length < 0 || at + 8 + length > bytes.length) {
      throw new FormatError(
        `The llama2.c tokenizer ends in the middle of token ${id} (${bytes.length} bytes); ` +
          `expected ${vocabSize} tokens. Is the file cut off, or for another vocabulary size?`,
      );
    }
    scores.push(view.getFloat32(at, true));
    tokens.push(decoder.decode(bytes.subarray(at + 8, at + 8 + length)));
    at += 8 + length;
  }
  if (at !== bytes.length) {
    throw new FormatError(
      `The llama2.c tokenizer has ${bytes.length - at} bytes after its ${vocabSize} tokens; ` +
        "expected none. Is it for another vocabulary size?",
    );
  }
  return new Llama2cTokenizer(tokens, scores, modelVocabSize);
}
