// What the command does when nothing else is said: fine-tune the embedded model on the bundled text, in less than three
// minutes on two cores. All of these numbers stand here and nowhere else, but for those of a text's rows, which the
// library takes as well.

import { TEXT_ROWS } from "../io/text.ts";

/** LoRA (Hu et al. 2021): s = alpha / r. */
export const LORA = { r: 8, alpha: 16, dropout: 0, targets: "all-linear" } as const;

/** The run: AdamW with warm-up and a cosine. `fullLr` is the rate of full fine-tuning, where every weight moves. */
export const RUN = {
  steps: 300,
  batchSize: TEXT_ROWS.batchSize as number,
  blockSize: TEXT_ROWS.blockSize as number,
  accumulate: 1,
  lr: 2e-3,
  fullLr: 5e-4,
  schedule: "cosine",
  weightDecay: 0.01,
  maxGradNorm: 1,
  seed: 1,
} as const;

/** The part of the text that is held out. */
export const VALIDATION = 0.1;

/** Steps from one checkpoint to the next. */
export const CHECKPOINT_EVERY = 50;

/** Where `train` writes; when that is taken, to the same with a number. */
export const OUT = "lowrank-out";

/** The most that may be asked for: no machine has memory for more, or nobody time. */
export const MOST = {
  rank: 16_384,
  steps: 1_000_000_000,
  /** Rows times tokens in a row. */
  batchTokens: 1_048_576,
  /** Batches for one step. */
  batches: 1_000_000,
  newTokens: 1_000_000,
} as const;

/** Samples of the model's writing, before and after. */
export const SAMPLE = {
  prompt: "And it came to pass",
  maxNewTokens: 80,
  temperature: 0.7,
} as const;

/** The prompt of the command that is proposed at the end. */
export const NEXT_PROMPT = "And he said";

/** With another text the sample begins with so many of its held-out tokens. */
export const PROMPT_TOKENS = 12;

/** `lowrank generate`. */
export const GENERATE = { maxNewTokens: 200, temperature: 0.8, topK: 0, topP: 1 } as const;
