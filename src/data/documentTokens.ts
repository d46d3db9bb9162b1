// Which tokens stand before and after a text: the one rule that training data and generation share (docs/tokens.md).
//   a document  begin ids, prompt, completion, end ids
//   a prompt    begin ids, prompt; nothing closes it
// What a text brings along of these ids itself is not put there a second time.
import { UsageError } from "../core/error.ts";
import { expectObject, expectText } from "../core/kind.ts";
import { expectTokenizer, type Tokenizer } from "./tokenizer.ts";
import { byteLength } from "./utf8.ts";

/** What is needed of a model to make the tokens of a prompt. */
export interface PromptModel {
  readonly tokenizer: Tokenizer;
  /** The token that begins a text of which there is nothing yet. */
  readonly startToken?: number | null | undefined;
}

const listed = (id: number | undefined): readonly number[] => (id === undefined ? [] : [id]);

/** The ids of a text, as they stand in it. */
export function encodeText(tokenizer: Tokenizer, text: string): Int32Array {
  const ids = text === "" ? [] : tokenizer.encode(text);
  return ids instanceof Int32Array ? ids : Int32Array.from(ids);
}

/** Lists of ids one behind the other. */
export function joinIds(lists: readonly ArrayLike<number>[]): Int32Array {
  const joined = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    joined.set(list, at);
    at += list.length;
  }
  return joined;
}

// Whether the last `count` of `before` are the first of `after`.
function overlaps(before: ArrayLike<number>, after: ArrayLike<number>, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (before[before.length - count + i] !== after[i]) return false;
  }
  return true;
}

// How many ids at the end of `before` and at the beginning of `after` are the same.
function overlap(before: ArrayLike<number>, after: ArrayLike<number>): number {
  let count = Math.min(before.length, after.length);
  while (count > 0 && !overlaps(before, after, count)) count--;
  return count;
}

/** The ids to be put before those of a text: without those that it begins with itself. */
export function missingBegin(tokenizer: Tokenizer, ids: ArrayLike<number>): readonly number[] {
  const begin = tokenizer.beginIds ?? listed(tokenizer.bosTokenId);
  return begin.slice(0, begin.length - overlap(begin, ids));
}

/** The ids to be put after those of a text: none if it ends with an end token of its own. */
export function missingEnd(tokenizer: Tokenizer, ids: ArrayLike<number>): readonly number[] {
  const end = tokenizer.endIds ?? listed(tokenizer.eosTokenId);
  const last = ids[ids.length - 1];
  if (last === undefined) return end;
  const ended =
    tokenizer.stopTokenIds?.includes(last) === true && (tokenizer.controlBytes?.(last) ?? 0) > 0;
  return ended && last !== end[0] ? [] : end.slice(overlap(ids, end));
}

/** Bytes of UTF-8 of a text, without the special tokens that are spelled in it. */
export function textBytes(tokenizer: Tokenizer, text: string, ids: ArrayLike<number>): number {
  let bytes = byteLength(text);
  if (tokenizer.controlBytes === undefined) return bytes;
  for (let i = 0; i < ids.length; i++) bytes -= tokenizer.controlBytes(ids[i]!);
  return bytes;
}

/** The tokens of a prompt, open at its end; none for an empty prompt where no token begins a text. */
export function openPrompt({ tokenizer, startToken }: PromptModel, prompt: string): Int32Array {
  const ids = encodeText(tokenizer, prompt);
  const all = joinIds([missingBegin(tokenizer, ids), ids]);
  if (all.length > 0) return all;
  return Int32Array.from(listed(tokenizer.bosTokenId ?? startToken ?? undefined));
}

/**
 * The tokens of a prompt, as training lays out the beginning of a text. An empty one is the token that begins a text.
 * @throws UsageError for an empty prompt where no token begins a text
 * @example
 * const ids = generate(model, promptTokens(model, "The sower"));
 */
export function promptTokens(model: PromptModel, prompt: string): Int32Array {
  expectObject("The model", model, "a model with a tokenizer, such as loadModel() gives");
  expectTokenizer(model.tokenizer);
  expectText("The prompt", prompt);
  const ids = openPrompt(model, prompt);
  if (ids.length > 0) return ids;
  throw new UsageError(
    "The prompt is empty, and this model has no begin token to start from. Give a text.",
  );
}
