// A small run for the tests of training: a model with an adapter, documents of different lengths, a trainer.

import { injectLora } from "../../src/adapters/lora.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import type { TrainerOptions } from "../../src/train/progress.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { uniform } from "../support/arbitraries.ts";
import { llamaStyle, smallModel } from "../support/models.ts";

/** One token a letter; 26 ends a document. */
export const letters: Tokenizer = {
  vocabSize: 61,
  eosTokenId: 26,
  encode: (text) => Array.from(text, (letter) => letter.charCodeAt(0) - 97),
  decode: (ids) => Array.from(ids, (id) => String.fromCharCode(97 + id)).join(""),
};

/** JSON lines of 2 to 20 random letters, some of them a prompt that is not trained. */
export function lines(count: number, seed: number): string {
  const next = uniform(seed);
  const word = (most: number): string =>
    Array.from({ length: 1 + Math.floor(next() * most) }, () =>
      String.fromCharCode(97 + Math.floor(next() * 26)),
    ).join("");
  return Array.from({ length: count }, () =>
    JSON.stringify({ prompt: word(6), completion: word(14) }),
  ).join("\n");
}

export interface RunOptions extends Partial<TrainerOptions> {
  readonly batchSize?: number;
  readonly loraAlpha?: number;
  readonly loraDropout?: number;
  readonly r?: number;
  readonly targets?: readonly string[];
  readonly text?: string;
  readonly dataSeed?: number;
}

export interface Run {
  readonly model: Transformer;
  readonly data: Dataset;
  readonly trainer: Trainer;
  /** Frees model and trainer. */
  end(): void;
}

/** A fresh run, the same for the same options. */
export function makeRun(options: RunOptions = {}): Run {
  const {
    batchSize = 2,
    loraAlpha = 8,
    loraDropout = 0,
    r = 4,
    targets = ["q_proj", "v_proj", "down_proj"],
    text = lines(40, 1),
    dataSeed = 3,
    ...trainerOptions
  } = options;
  const model = smallModel(llamaStyle);
  injectLora(model, { r, loraAlpha, loraDropout, targetModules: targets });
  const data = jsonlDataset(letters, text, {
    batchSize,
    blockSize: 24,
    seed: dataSeed,
    validation: 0.2,
  });
  const trainer = new Trainer(model, data, {
    steps: 8,
    lr: 5e-3,
    warmupSteps: 2,
    ...trainerOptions,
  });
  return {
    model,
    data,
    trainer,
    end() {
      trainer.dispose();
      model.dispose();
    },
  };
}
