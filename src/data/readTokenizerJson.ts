// tokenizer.json, the layout of Hugging Face's tokenizers, for byte-level BPE. What is read is applied exactly;
// any component of another type is refused by its name. Merges are read in both spellings, "a b" and ["a", "b"],
// and written in the first, which every version understands. `truncation` and `padding` are settings of batching,
// not of the text, and are not applied.
import { wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import type { AddedToken, BpeDefinition, NormalForm } from "./bpeDefinition.ts";
import { BpeTokenizer } from "./bpeTokenizer.ts";
import { asComponent, asList, bare, type Component, fail, show } from "./jsonFields.ts";
import { readAddedTokens } from "./readAddedTokens.ts";
import { type BpeParts, readBpe } from "./readBpe.ts";
import { readTemplate, type Template } from "./template.ts";
import { TokenizerFile } from "./tokenizerFile.ts";

/** Options of `readTokenizerJson`: the file does not say which tokens begin and end a document. */
export interface ReadTokenizerOptions {
  /** Content of the token that begins a document, `null` for none. Default: the first known name that is there. */
  readonly bosToken?: string | null;
  /** Content of the token that ends a document, `null` for none. Default: the first known name that is there. */
  readonly eosToken?: string | null;
}

const READ_OPTIONS: OptionNames<ReadTokenizerOptions> = { bosToken: true, eosToken: true };

const knownBegins = ["<|begin_of_text|>", "<s>", "<|endoftext|>"];
const knownEnds = ["<|end_of_text|>", "</s>", "<|endoftext|>"];
const normalForms: readonly string[] = ["NFC", "NFD", "NFKC", "NFKD"];
// A text is normalised once for each.
const MOST_FORMS = 8;

/** All that a tokenizer.json says. */
export interface TokenizerParts extends BpeParts, Template {
  readonly addedTokens: readonly AddedToken[];
  readonly preTokenizer: Component;
  readonly normalForms: readonly NormalForm[];
}

/** What a tokenizer.json does not say: the begin and end tokens, and how many tokens the model has. */
export interface TokenizerUse
  extends Pick<BpeDefinition, "bosTokenId" | "eosTokenId" | "stopTokenIds" | "modelVocabSize"> {
  /** Tokens that are special because they were named, whether the file lists them as added tokens or not. */
  readonly named?: readonly number[];
}

function readNormalizer(value: unknown): NormalForm[] {
  if (value === null || value === undefined) return [];
  const component = asComponent(value, "normalizer");
  if (component.type === "Sequence") {
    return asList(component.normalizers, "normalizer.normalizers").flatMap(readNormalizer);
  }
  if (normalForms.includes(component.type)) return [component.type as NormalForm];
  return fail(
    `the normalizer ${bare(component.type)} is not supported; expected ${normalForms.join(", ")}.`,
  );
}

/**
 * Reads a tokenizer.json: its bytes, its text or the parsed object.
 * @throws FormatError that names what is broken, or the component that is not supported
 */
export function readTokenizerParts(source: string | Uint8Array | object): TokenizerParts {
  const file = new TokenizerFile(source);
  const { places } = file;
  const decoder = asComponent(file.small(places.get("decoder"), "decoder"), "decoder");
  if (decoder.type !== "ByteLevel") {
    fail(`the decoder ${bare(decoder.type)} is not supported; expected ByteLevel.`);
  }
  const preTokenizer = file.small(places.get("pre_tokenizer"), "pre_tokenizer");
  const forms = readNormalizer(file.small(places.get("normalizer"), "normalizer"));
  if (forms.length > MOST_FORMS) fail(`there are more than ${MOST_FORMS} normalizers.`);
  const template = readTemplate(file.small(places.get("post_processor"), "post_processor"));
  const model = readBpe(file);
  return {
    ...model,
    ...template,
    addedTokens: readAddedTokens(file, places.get("added_tokens"), model.vocabulary),
    preTokenizer: asComponent(preTokenizer, "pre_tokenizer"),
    normalForms: forms,
  };
}

/** The id of a token by its name: of an added one, or else of one of the vocabulary. */
export function findToken(parts: TokenizerParts, name: string): number | undefined {
  const added = parts.addedTokens.find(({ content }) => content === name);
  return added?.id ?? parts.vocabulary.find(name);
}

function withNamed(parts: TokenizerParts, named: readonly number[]): AddedToken[] {
  const added = [...parts.addedTokens];
  for (const id of new Set(named)) {
    const content = parts.vocabulary.token(id);
    if (content === undefined || added.some((token) => token.id === id)) continue;
    added.push({ id, content, special: true, normalized: false });
  }
  return added;
}

/** Makes the tokenizer of a file's parts. @throws FormatError if its pre-tokenizer is not supported */
export function makeTokenizer(
  parts: TokenizerParts,
  { named = [], ...use }: TokenizerUse,
): BpeTokenizer {
  const { vocabulary, merges: table, ...rest } = parts;
  let vocab: Map<string, number> | undefined;
  let merges: (readonly [string, string])[] | undefined;
  const token = (id: number) => vocabulary.token(id)!;
  const list = () =>
    Array.from({ length: table.size }, (_, index) => {
      const [left, right] = table.pair(index);
      return [token(left), token(right)] as const;
    });
  // Hundreds of thousands of strings that encoding does not need: made when they are asked for.
  const definition: BpeDefinition = {
    ...rest,
    addedTokens: withNamed(parts, named),
    ...use,
    get vocab() {
      vocab ??= vocabulary.toMap();
      return vocab;
    },
    get merges() {
      merges ??= list();
      return merges;
    },
  };
  return new BpeTokenizer(definition, { vocabulary, merges: table });
}

function documentToken(
  parts: TokenizerParts,
  asked: string | null | undefined,
  known: readonly string[],
): number | undefined {
  if (asked === null) return undefined;
  if (asked === undefined) {
    const found = known.map((name) => parts.addedTokens.find(({ content }) => content === name));
    return found.find((token) => token !== undefined)?.id;
  }
  const id = findToken(parts, asked);
  if (id !== undefined) return id;
  const names = parts.addedTokens.slice(0, 10).map((token) => bare(token.content));
  return fail(
    `there is no added token ${show(asked)}; the file has ${names.join(", ") || "none"}.`,
  );
}

/**
 * Reads a tokenizer.json: its bytes, its text or the parsed object.
 * @throws FormatError that names what is broken, or the component that is not supported
 */
export function readTokenizerJson(
  source: string | Uint8Array | object,
  options: ReadTokenizerOptions = {},
): BpeTokenizer {
  expectOptions(options, READ_OPTIONS, "readTokenizerJson");
  for (const key of ["bosToken", "eosToken"] as const) {
    if (typeof (options[key] ?? "") !== "string")
      throw wrongKind(key, options[key], "a text or null");
  }
  const parts = readTokenizerParts(source);
  const bosTokenId = documentToken(parts, options.bosToken, knownBegins);
  const eosTokenId = documentToken(parts, options.eosToken, knownEnds);
  const named = [bosTokenId, eosTokenId].filter((id) => id !== undefined);
  return makeTokenizer(parts, { bosTokenId, eosTokenId, named });
}
