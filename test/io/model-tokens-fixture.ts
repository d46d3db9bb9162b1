// A model whose directory says about tokens what a test wants it to say.
import { trainTokenizer } from "../../src/data/trainTokenizer.ts";
import { writeTokenizerJson } from "../../src/data/writeTokenizerJson.ts";
import { formatModelConfig, parseModelConfig } from "../../src/io/huggingface-config.ts";
import { PretrainedModel } from "../../src/io/pretrained.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { small } from "./model-fixture.ts";

/** The ids of the added tokens: behind the 256 bytes. */
export const BEGIN = 256;
export const END = 257;
export const TURN = 258;
export const ROWS = 259;

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** tokenizer.json with the tokens <s>, </s> and <|im_end|>, and no merges: a byte of ASCII is a token. */
export const tokenizerJson: Record<string, unknown> = JSON.parse(
  writeTokenizerJson(
    trainTokenizer("", { vocabSize: ROWS, specialTokens: ["<s>", "</s>", "<|im_end|>"] }),
  ),
) as Record<string, unknown>;

/** A template of the form `<s> $A </s>`. */
export function template(...items: readonly string[]): Record<string, unknown> {
  const ids = new Map([
    ["<s>", BEGIN],
    ["</s>", END],
    ["<|im_end|>", TURN],
  ]);
  const named = items.filter((item) => item !== "$A");
  return {
    type: "TemplateProcessing",
    single: items.map((item) =>
      item === "$A"
        ? { Sequence: { id: "A", type_id: 0 } }
        : { SpecialToken: { id: item, type_id: 0 } },
    ),
    pair: [],
    special_tokens: Object.fromEntries(
      named.map((name) => [name, { id: name, ids: [ids.get(name)!], tokens: [name] }]),
    ),
  };
}

/** What the files of a directory say; a missing one is not there. */
export interface TokenFiles {
  readonly post_processor?: unknown;
  readonly added_tokens?: readonly unknown[];
  readonly vocab?: Record<string, number>;
  readonly tokenizer_config?: unknown;
  readonly special_tokens_map?: unknown;
  readonly generation_config?: unknown;
  /** Members of config.json; a member that is undefined is not there. */
  readonly config?: Record<string, unknown>;
}

/** A model with these files. */
export function modelWith(files: TokenFiles): PretrainedModel {
  const { post_processor = null, added_tokens, vocab, config = {} } = files;
  const plain = JSON.parse(
    formatModelConfig({ ...small, vocabSize: ROWS, bosTokenId: null, eosTokenId: [] }),
  ) as Record<string, unknown>;
  const { config: parsed, fields } = parseModelConfig(encode({ ...plain, ...config }));
  const model = tokenizerJson["model"] as Record<string, unknown>;
  const whole = {
    ...tokenizerJson,
    post_processor,
    added_tokens: added_tokens ?? tokenizerJson["added_tokens"],
    model: { ...model, vocab: vocab ?? model["vocab"] },
  };
  const companions = new Map([["tokenizer.json", encode(whole)]]);
  for (const name of ["tokenizer_config", "special_tokens_map", "generation_config"] as const) {
    if (files[name] !== undefined) companions.set(`${name}.json`, encode(files[name]));
  }
  return new PretrainedModel(parsed, normalInitializer(1), { fields, companions });
}
