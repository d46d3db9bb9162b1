// Begin, end and stop tokens: what each of the files of a model directory says about them, and what comes of it in
// training and in generation. docs/tokens.md has the rule.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { promptTokens } from "../../src/data/documentTokens.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { modelFiles } from "../../src/io/model.ts";
import type { PretrainedModel } from "../../src/io/pretrained.ts";
import { generate } from "../../src/train/generate.ts";
import {
  BEGIN,
  END,
  modelWith,
  ROWS,
  type TokenFiles,
  TURN,
  template,
} from "./model-tokens-fixture.ts";

await init({ threads: 1 });

// A letter's byte in the order of the byte alphabet.
const A = 32;
const B = 33;

/** The tokens of a record in training, the padding left out. */
function documentOf(model: PretrainedModel, record: object): number[] {
  const options = { batchSize: 1, blockSize: 12, validation: 0 };
  const data = jsonlDataset(model.tokenizer, JSON.stringify(record), options);
  const { inputs, targets, positions } = data.batchAt(0);
  let length = 1;
  while (length < 12 && positions[length] === length) length++;
  return [...inputs.slice(0, length), targets[length - 1]!];
}

interface Row {
  readonly files: TokenFiles;
  /** Put before a text and before a prompt. */
  readonly before: readonly number[];
  /** Put after a text. */
  readonly after: readonly number[];
  readonly stops: readonly number[];
  /** What an empty prompt becomes; default `before`. */
  readonly empty?: readonly number[];
}

const rule: Readonly<Record<string, Row>> = {
  "a template with begin and end": {
    files: { post_processor: template("<s>", "$A", "</s>"), config: { eos_token_id: END } },
    ...{ before: [BEGIN], after: [END], stops: [END] },
  },
  "a template without tokens, though a begin token is named": {
    files: {
      post_processor: template("$A"),
      tokenizer_config: { bos_token: "<s>", eos_token: "</s>" },
      config: { bos_token_id: BEGIN, eos_token_id: END },
    },
    ...{ before: [], after: [END], stops: [END], empty: [BEGIN] },
  },
  "GPT-2: begin and end are one token, and its post-processor puts none": {
    files: {
      post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false },
      config: { bos_token_id: END, eos_token_id: END },
    },
    ...{ before: [], after: [END], stops: [END], empty: [END] },
  },
  "Llama 3: the template begins, the turn's end is the tokenizer's, the model names further ends": {
    files: {
      post_processor: {
        type: "Sequence",
        processors: [{ type: "ByteLevel" }, template("<s>", "$A")],
      },
      tokenizer_config: { bos_token: "<s>", eos_token: "<|im_end|>" },
      config: { bos_token_id: BEGIN, eos_token_id: [END, TURN] },
    },
    ...{ before: [BEGIN], after: [TURN], stops: [TURN, END] },
  },
  "Qwen 2.5: no begin token in the tokenizer, one in the model": {
    files: {
      post_processor: { type: "ByteLevel" },
      tokenizer_config: { add_bos_token: false, bos_token: null, eos_token: "<|im_end|>" },
      generation_config: { bos_token_id: END, eos_token_id: [TURN, END] },
      config: { bos_token_id: END, eos_token_id: TURN },
    },
    ...{ before: [], after: [TURN], stops: [TURN, END], empty: [END] },
  },
  "a chat model whose config.json kept the base model's end": {
    files: {
      tokenizer_config: { eos_token: "<|im_end|>" },
      generation_config: { eos_token_id: [TURN, END] },
      config: { bos_token_id: END, eos_token_id: END },
    },
    ...{ before: [], after: [TURN], stops: [TURN, END], empty: [END] },
  },
  "the tokenizer's end token alone": {
    files: { tokenizer_config: { eos_token: { content: "</s>" } }, config: { eos_token_id: TURN } },
    ...{ before: [], after: [END], stops: [END, TURN] },
  },
  "keys that tokenizer_config.json lacks stand in special_tokens_map.json": {
    files: {
      tokenizer_config: { eos_token: "<|im_end|>" },
      special_tokens_map: { bos_token: "<s>", eos_token: "</s>" },
    },
    ...{ before: [], after: [TURN], stops: [TURN], empty: [BEGIN] },
  },
  "keys that no file of the tokenizer has: the model's, the begin token put nowhere": {
    files: { tokenizer_config: {}, config: { bos_token_id: BEGIN, eos_token_id: END } },
    ...{ before: [], after: [END], stops: [END], empty: [BEGIN] },
  },
  "no key and no id anywhere: nothing is invented": {
    files: { tokenizer_config: {} },
    ...{ before: [], after: [], stops: [] },
  },
  "an end token that is null is none": {
    files: { tokenizer_config: { eos_token: null }, config: { eos_token_id: END } },
    ...{ before: [], after: [], stops: [END] },
  },
  "add_bos_token where there is no post-processor": {
    files: { tokenizer_config: { add_bos_token: true, bos_token: "<s>", eos_token: "</s>" } },
    ...{ before: [BEGIN], after: [END], stops: [END] },
  },
  "add_bos_token against a post-processor, which decides": {
    files: {
      post_processor: template("<s>", "$A"),
      tokenizer_config: { add_bos_token: false, bos_token: "<s>", eos_token: "</s>" },
    },
    ...{ before: [BEGIN], after: [END], stops: [END] },
  },
  "tokenizer.json alone, without a post-processor: the model's tokens": {
    files: { config: { bos_token_id: BEGIN, eos_token_id: END } },
    ...{ before: [BEGIN], after: [END], stops: [END] },
  },
  "generation_config.json before config.json": {
    files: {
      generation_config: { bos_token_id: BEGIN, eos_token_id: TURN },
      config: { bos_token_id: END, eos_token_id: END },
    },
    ...{ before: [BEGIN], after: [TURN], stops: [TURN, END] },
  },
  "-1 is none": {
    files: { config: { bos_token_id: -1, eos_token_id: -1 } },
    ...{ before: [], after: [], stops: [] },
  },
};

for (const [name, { files, before, after, stops, empty = before }] of Object.entries(rule)) {
  test(`${name}: training and generation agree`, () => {
    const model = modelWith(files);
    assert.equal(model.warnings, []);
    assert.equal(documentOf(model, { text: "AB" }), [...before, A, B, ...after]);
    assert.equal(documentOf(model, { prompt: "A", completion: "B" }), [...before, A, B, ...after]);
    assert.equal([...promptTokens(model, "AB")], [...before, A, B]);
    if (empty.length > 0) assert.equal([...promptTokens(model, "")], empty);
    else assert.throws(() => promptTokens(model, ""), /no begin token to start from/);
    assert.equal(new Set(model.stopTokens), new Set(stops));
    assert.equal([...modelFiles(model).keys()].slice(2), [...model.companions.keys()]);
    model.dispose();
  });

  test(`${name}: a text that brings its own tokens is given no second`, () => {
    const model = modelWith(files);
    const spelled = (ids: readonly number[]) => model.tokenizer.decode(ids);
    const text = `${spelled(before)}AB${spelled(after)}`;
    assert.equal(documentOf(model, { text }), [...before, A, B, ...after]);
    assert.equal([...promptTokens(model, `${spelled(before)}A`)], [...before, A]);
    model.dispose();
  });
}

test("a text that ends with another of the end tokens is given none", () => {
  const model = modelWith(rule["a chat model whose config.json kept the base model's end"]!.files);
  assert.equal(documentOf(model, { text: "AB</s>" }), [A, B, END]);
  model.dispose();
});

test("generation ends at every end token of model and tokenizer", () => {
  const model = modelWith(
    rule["Qwen 2.5: no begin token in the tokenizer, one in the model"]!.files,
  );
  const all = { maxNewTokens: 200, temperature: 1, stopTokens: [], topK: 0 } as const;
  const ended = new Set<number>();
  for (let seed = 0; seed < 12; seed++) {
    const free = generate(model, [A], { ...all, seed });
    const at = free.findIndex((id) => id === END || id === TURN);
    const made = generate(model, [A], { maxNewTokens: 200, temperature: 1, seed });
    assert.equal(made, at < 0 ? free : free.slice(0, at));
    if (at >= 0) ended.add(free[at]!);
  }
  assert.is(ended.size, 2);
  model.dispose();
});

test("ids beyond the vocabulary are said and left out", () => {
  const model = modelWith({
    generation_config: { bos_token_id: 5000, eos_token_id: [TURN, 99999999999] },
    config: { bos_token_id: BEGIN, eos_token_id: [ROWS, END, -7] },
  });
  assert.is(model.warnings.length, 3);
  assert.match(model.warnings[0]!, /generation_config.json: "bos_token_id" names the token 5000/);
  assert.match(model.warnings[1]!, /generation_config.json: "eos_token_id" .* 99999999999, but/);
  assert.match(
    model.warnings[2]!,
    /config.json: "eos_token_id" names the token 259, -7, but .* 258/,
  );
  assert.equal(documentOf(model, { text: "A" }), [BEGIN, A, TURN]);
  assert.equal(new Set(model.stopTokens), new Set([TURN, END]));
  model.dispose();
});

test("a named token that tokenizer.json does not have is said and left out", () => {
  const model = modelWith({ tokenizer_config: { eos_token: "<|eot|>", bos_token: "<s>" } });
  assert.is(model.warnings.length, 1);
  assert.match(
    model.warnings[0]!,
    /"eos_token" is "<\|eot\|>", which tokenizer.json does not have/,
  );
  assert.equal(documentOf(model, { text: "AB" }), [A, B]);
  model.dispose();
});

const added = (id: number, content: string) => ({ id, content, special: true, normalized: false });

test("a pad token without a row is refused when a text spells it, and nothing else is", () => {
  const model = modelWith({
    added_tokens: [added(END, "</s>"), added(ROWS, "[PAD]")],
    tokenizer_config: { eos_token: "</s>", pad_token: "[PAD]" },
  });
  assert.is(model.warnings.length, 1);
  assert.match(model.warnings[0]!, /ids up to 259, but the model has 259 tokens/);
  assert.equal(documentOf(model, { text: "A" }), [A, END]);
  assert.throws(
    () => model.tokenizer.encode("A[PAD]"),
    (error: unknown) =>
      error instanceof UsageError &&
      /holds the token "\[PAD\]", whose id is 259, but .* 0 to 258 only/.test(error.message),
  );
  assert.is(model.tokenizer.decode([ROWS]), "[PAD]");
  model.dispose();
});

test("an end token of the vocabulary that no list of added tokens has works", () => {
  const vocab = modelWith({}).companions.get("tokenizer.json")!;
  const file = JSON.parse(new TextDecoder().decode(vocab)) as {
    model: { vocab: Record<string, number> };
  };
  const model = modelWith({
    added_tokens: [],
    vocab: { ...file.model.vocab, "</s>": END },
    tokenizer_config: { eos_token: "</s>" },
  });
  assert.equal(model.warnings, []);
  assert.equal(documentOf(model, { text: "A" }), [A, END]);
  assert.equal(documentOf(model, { text: "A</s>" }), [A, END]);
  assert.equal(model.stopTokens, [END]);
  model.dispose();
});

test("rows of the model that have no token decode to nothing, ids beyond them are refused", () => {
  const model = modelWith({ added_tokens: [added(BEGIN, "<s>")], config: { vocab_size: 320 } });
  assert.is(model.tokenizer.decode([BEGIN + 1, A, 319]), "A");
  assert.throws(() => model.tokenizer.decode([320]), /320 is not in the vocabulary, .* 0 to 319/);
  model.dispose();
});

test("files about tokens that are broken are refused by name", () => {
  const broken: readonly (readonly [TokenFiles, RegExp])[] = [
    [{ generation_config: { eos_token_id: "</s>" } }, /generation_config.json: "eos_token_id"/],
    [{ generation_config: { eos_token_id: [1, "a"] } }, /generation_config.json: "eos_token_id"/],
    [{ generation_config: [] }, /generation_config.json must hold a JSON object/],
    [{ config: { eos_token_id: 1.5 } }, /"eos_token_id" is 1.5/],
  ];
  for (const [files, message] of broken) {
    assert.throws(
      () => modelWith(files),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  }
  for (const [files, message] of [
    [{ tokenizer_config: { eos_token: 5 } }, /tokenizer_config.json: "eos_token" is 5/],
    [{ tokenizer_config: { eos_token: {} } }, /"content" is missing/],
    [{ special_tokens_map: [] }, /special_tokens_map.json must hold/],
  ] as const) {
    const model = modelWith(files);
    assert.throws(() => model.tokenizer, message);
    assert.match(model.warnings[0]!, message);
    model.dispose();
  }
});

test.run();
