// tokenizer.json, the layout of Hugging Face's tokenizers, for byte-level BPE. What is read is applied exactly;
// any component of another type is refused by its name. Merges are read in both spellings, "a b" and ["a", "b"],
// and written in the first, which every version understands. `truncation` and `padding` are settings of batching,
// not of the text, and are not applied.
import { bytesOf } from "../core/realm.ts";
import { type AddedToken, BpeTokenizer, type NormalForm } from "./bpeTokenizer.ts";
import { asComponent, asFields, asId, asList, type Fields, fail } from "./jsonFields.ts";
import { readTemplate } from "./template.ts";
import { asText } from "./utf8.ts";

/** Options of `readTokenizerJson`: the file does not say which tokens begin and end a document. */
export interface ReadTokenizerOptions {
  /** Content of the added token that begins a document, `null` for none. Default: the first known name that is there. */
  readonly bosToken?: string | null;
  /** Content of the added token that ends a document, `null` for none. Default: the first known name that is there. */
  readonly eosToken?: string | null;
}

const knownBegins = ["<|begin_of_text|>", "<s>", "<|endoftext|>"];
const knownEnds = ["<|end_of_text|>", "</s>", "<|endoftext|>"];
const normalForms: readonly string[] = ["NFC", "NFD", "NFKC", "NFKD"];
type File = Fields<
  "added_tokens" | "decoder" | "model" | "normalizer" | "post_processor" | "pre_tokenizer"
>;
type Model = Fields<
  | "byte_fallback"
  | "continuing_subword_prefix"
  | "dropout"
  | "end_of_word_suffix"
  | "fuse_unk"
  | "ignore_merges"
  | "merges"
  | "type"
  | "unk_token"
  | "vocab"
>;

// Fields of the model that change what is encoded, with the values that mean "off".
const refusedModelFields: readonly (readonly [keyof Model, readonly unknown[]])[] = [
  ["dropout", [null, undefined, 0]],
  ["continuing_subword_prefix", [null, undefined, ""]],
  ["end_of_word_suffix", [null, undefined, ""]],
  ["byte_fallback", [null, undefined, false]],
];

function readVocab(model: Model): Map<string, number> {
  const vocab = new Map<string, number>();
  const owners = new Map<number, string>();
  for (const [token, value] of Object.entries(asFields(model.vocab, "model.vocab"))) {
    const id = asId(value, `the token ${JSON.stringify(token)}`);
    const owner = owners.get(id);
    if (owner !== undefined) {
      fail(
        `the tokens ${JSON.stringify(owner)} and ${JSON.stringify(token)} have the same id ${id}.`,
      );
    }
    owners.set(id, token);
    vocab.set(token, id);
  }
  return vocab;
}

function readMerges(model: Model): (readonly [string, string])[] {
  return asList(model.merges, "model.merges").map((merge, i) => {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(parts) && parts.length === 2) {
      const [left, right]: unknown[] = parts;
      if (typeof left === "string" && typeof right === "string") return [left, right];
    }
    return fail(`merge ${i} is ${JSON.stringify(merge)}; expected "a b" or ["a", "b"].`);
  });
}

type Placement = "single_word" | "lstrip" | "rstrip";
const placements: readonly Placement[] = ["single_word", "lstrip", "rstrip"];

function readAddedTokens(value: unknown, vocab: ReadonlyMap<string, number>): AddedToken[] {
  const tokensById = new Map([...vocab].map(([token, id]) => [id, token]));
  return asList(value ?? [], "added_tokens").map((entry, i) => {
    const token = asFields<"content" | "id" | "normalized" | "special" | Placement>(
      entry,
      `added_tokens[${i}]`,
    );
    const { content } = token;
    if (typeof content !== "string" || content === "") {
      return fail(`added_tokens[${i}] has no content.`);
    }
    const name = `the added token ${JSON.stringify(content)}`;
    const id = asId(token.id, name);
    const other = tokensById.get(id) ?? content;
    if (other !== content || (vocab.get(content) ?? id) !== id) {
      fail(`${name} has the id ${id}, but the vocabulary says otherwise.`);
    }
    tokensById.set(id, content);
    for (const option of placements) {
      if (token[option] === true) fail(`${name} sets ${option}, which is not supported.`);
    }
    return {
      id,
      content,
      special: token.special === true,
      normalized: token.normalized === true,
    };
  });
}

function readNormalizer(value: unknown): NormalForm[] {
  if (value === null || value === undefined) return [];
  const component = asComponent(value, "normalizer");
  if (component.type === "Sequence") {
    return asList(component.normalizers, "normalizer.normalizers").flatMap(readNormalizer);
  }
  if (normalForms.includes(component.type)) return [component.type as NormalForm];
  return fail(
    `the normalizer ${component.type} is not supported; expected ${normalForms.join(", ")}.`,
  );
}

function documentToken(
  added: readonly AddedToken[],
  asked: string | null | undefined,
  known: readonly string[],
): number | undefined {
  if (asked === null) return undefined;
  const idOf = (name: string) => added.find((token) => token.content === name)?.id;
  if (asked === undefined) return known.map(idOf).find((id) => id !== undefined);
  const id = idOf(asked);
  if (id !== undefined) return id;
  const names = added.map((token) => token.content).join(", ") || "none";
  return fail(`there is no added token ${JSON.stringify(asked)}; the file has ${names}.`);
}

function parse(source: string | Uint8Array | object): File {
  const bytes = bytesOf(source);
  if (typeof source !== "string" && bytes === null) return asFields(source, "the file");
  const text = asText(bytes ?? (source as string), "tokenizer.json");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return fail(`the file is no JSON: ${(error as Error).message}`);
  }
  return asFields(value, "the file");
}

/**
 * Reads a tokenizer.json: its bytes, its text or the parsed object.
 * @throws FormatError that names what is broken, or the component that is not supported
 */
export function readTokenizerJson(
  source: string | Uint8Array | object,
  options: ReadTokenizerOptions = {},
): BpeTokenizer {
  const file = parse(source);
  const model: Model = asFields(file.model, "model");
  // Files older than 2020 leave the type of a BPE model out.
  if ((model.type ?? "BPE") !== "BPE") {
    fail(`the model ${String(model.type)} is not supported; expected BPE.`);
  }
  for (const [field, off] of refusedModelFields) {
    if (!off.includes(model[field])) {
      fail(`model.${field} is ${JSON.stringify(model[field])}, which is not supported.`);
    }
  }
  const decoder = asComponent(file.decoder, "decoder");
  if (decoder.type !== "ByteLevel") {
    fail(`the decoder ${decoder.type} is not supported; expected ByteLevel.`);
  }
  const vocab = readVocab(model);
  const addedTokens = readAddedTokens(file.added_tokens, vocab);
  const unk = model.unk_token ?? undefined;
  const unkTokenId = typeof unk === "string" ? vocab.get(unk) : undefined;
  if (unkTokenId !== undefined && model.fuse_unk === true) {
    fail("model.fuse_unk is true, which is not supported.");
  }
  return new BpeTokenizer({
    vocab,
    merges: readMerges(model),
    addedTokens,
    preTokenizer: asComponent(file.pre_tokenizer, "pre_tokenizer"),
    normalForms: readNormalizer(file.normalizer),
    ignoreMerges: model.ignore_merges === true,
    unkTokenId,
    ...readTemplate(file.post_processor),
    bosTokenId: documentToken(addedTokens, options.bosToken, knownBegins),
    eosTokenId: documentToken(addedTokens, options.eosToken, knownEnds),
  });
}
