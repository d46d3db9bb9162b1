// Writes tokenizer.json, the layout of Hugging Face's tokenizers. Merges are spelled "a b", which every version reads.
import { expectInstance } from "../core/kind.ts";
import { BpeTokenizer } from "./bpeTokenizer.ts";
import { writeTemplate } from "./template.ts";

/** The text of a tokenizer.json that Hugging Face's tokenizers and `readTokenizerJson` read back. */
export function writeTokenizerJson(tokenizer: BpeTokenizer): string {
  expectInstance("The tokenizer", tokenizer, BpeTokenizer, "a BpeTokenizer");
  const { definition } = tokenizer;
  const forms = (definition.normalForms ?? []).map((type) => ({ type }));
  const vocab = [...definition.vocab].sort((a, b) => a[1] - b[1]);
  const names = new Map(definition.addedTokens.map((token) => [token.id, token.content]));
  const unk = vocab.find(([, id]) => id === definition.unkTokenId)?.[0] ?? null;
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: definition.addedTokens.map(({ id, content, special, normalized }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized,
      special,
    })),
    normalizer: forms.length < 2 ? (forms[0] ?? null) : { type: "Sequence", normalizers: forms },
    pre_tokenizer: definition.preTokenizer,
    post_processor: writeTemplate(definition, names),
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: unk,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: definition.ignoreMerges ?? false,
      vocab: Object.fromEntries(vocab),
      merges: definition.merges.map(([left, right]) => `${left} ${right}`),
    },
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}
