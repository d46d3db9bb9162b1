// A decoder-only Transformer: GPT-2 (layer norm, learned positions, plain MLP), Llama (RMS norm, rotary
// positions, gated MLP, grouped heads), or any mixture that a ModelConfig can say.
//   h = tokens[ids] (+ positions[p]);   h = block(h) for every layer;   logits = head(norm(h))

import { ShapeError, type UsageError } from "../core/error.ts";
import { expectBoolean, expectFunction, wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { recording } from "../core/recording.ts";
import { expectTensor } from "../tensor/check.ts";
import { tensor } from "../tensor/create.ts";
import { crossEntropy } from "../tensor/crossEntropy.ts";
import { allOrNothing, leaf } from "../tensor/record.ts";
import { composite } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { checkBatch, type TokenBatch } from "./batch.ts";
import { Body, type BodyLike } from "./body.ts";
import { expectInWindow, expectRoom, KvCache } from "./cache.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import type { Context } from "./context.ts";
import { type Initializer, normalInitializer } from "./init.ts";
import { isLinear, Linear, type LinearLike } from "./linear.ts";
import { Module } from "./module.ts";
import { type FamilyNames, familyNames } from "./names.ts";
import { RotaryTables } from "./rotary.ts";

/**
 * Above this many bytes of logits, head and loss are one op that makes them in chunks: the loss has the same bits. A head
 * that trains has more to lose, a third product over each chunk, and its gradient then is a sum over chunks.
 */
const CHUNKED_ABOVE = { frozen: 8 * 1024 * 1024, trained: 16 * 1024 * 1024 } as const;

/** What a forward pass may be told about its tokens. */
export interface ForwardOptions {
  /** Keys and values of what came before; the new ones are appended. */
  readonly cache?: KvCache;
  /** Position of each token in its document, int32 [B, T]; counted from the cache's length when not given. */
  readonly positions?: Tensor;
  /** First position of its row that each token may see, int32 [B, T]; 0 when not given. */
  readonly starts?: Tensor;
}

/** How the losses of a batch's targets are put together. */
export interface LossOptions {
  /** "mean" over the trained targets (default) or "sum". */
  readonly reduction?: "mean" | "sum";
  /** A scalar that multiplies the loss; default 1. Given here, gradients through a frozen head come with the loss. */
  readonly factor?: Tensor;
}

const FORWARD_OPTIONS: OptionNames<ForwardOptions> = {
  cache: true,
  positions: true,
  starts: true,
};

const LOSS_OPTIONS: OptionNames<LossOptions> = { reduction: true, factor: true };

/** A decoder-only Transformer, its parameters named as in Hugging Face checkpoints. */
export class Transformer extends Module {
  readonly config: ModelConfig;
  readonly #names: FamilyNames;
  #gradientCheckpointing = false;
  // Tables are made when first used, so that checking a checkpoint's names costs no memory.
  readonly #rotary: RotaryTables | null;

  /** @param init where parameters come from; by default normal values of std 0.02 with seed 0 */
  constructor(config: ModelConfig, init: Initializer = normalInitializer(0)) {
    super();
    checkConfig(config);
    expectFunction("The initializer", init);
    this.config = config;
    this.#rotary = config.positions === "rope" ? new RotaryTables(config) : null;
    const { hiddenSize, vocabSize } = config;
    this.#names = familyNames(config.modelType);
    allOrNothing(() => {
      const body = this.addModule(this.#names.body, new Body(config, init));
      const tied = config.tieWordEmbeddings ? { weight: body.tokens.weight } : {};
      this.addModule("lm_head", new Linear(hiddenSize, vocabSize, { bias: false, ...tied }, init));
    });
  }

  /** Ids that end a text: generation stops at each of them. */
  get stopTokens(): readonly number[] {
    return this.config.eosTokenId;
  }

  /** The id that begins a text of which there is nothing yet, null if there is none. */
  get startToken(): number | null {
    return this.config.bosTokenId;
  }

  /**
   * Keeps the input of each block alone for backward, which runs the blocks again (`recompute`): less memory, more time,
   * the same bits. Default false.
   */
  get gradientCheckpointing(): boolean {
    recording()?.depends(() => this.#gradientCheckpointing);
    return this.#gradientCheckpointing;
  }

  set gradientCheckpointing(value: boolean) {
    expectBoolean("gradientCheckpointing", value);
    this.#gradientCheckpointing = value;
  }

  /** The output head's layer, or what has replaced it. */
  get head(): LinearLike {
    return this.child("lm_head") as LinearLike;
  }

  /** What maps ids to hidden states, or what has replaced it. */
  get body(): BodyLike {
    return this.child(this.#names.body) as BodyLike;
  }

  /** Path of the output head among the named modules. */
  get headPath(): string {
    return "lm_head";
  }

  override dispose(): void {
    super.dispose();
    this.#rotary?.dispose();
  }

  /** cos and sin of the rotary angles for these tokens and those that replays bring; null with learned positions. */
  #rotaryTable({ positions, cache }: ForwardOptions, t: number): Tensor | null {
    const { virtualTokens } = this.body;
    if (positions !== undefined) return this.#rotary?.having(positions, virtualTokens) ?? null;
    return this.#rotary?.reaching(cache?.capacity ?? t + virtualTokens) ?? null;
  }

  /** Hidden states after the last norm, [B, T, D]. */
  hidden(ids: Tensor, options: ForwardOptions = {}): Tensor {
    return composite(this, () => this.#hidden(ids, options));
  }

  #hidden(ids: Tensor, options: ForwardOptions): Tensor {
    const [b, t] = this.#checkIds(ids, options);
    const { cache } = options;
    const offset = (): number => cache?.length ?? 0;
    const positions = options.positions ?? countPositions(b, t, offset, cache !== undefined);
    const rotary = this.#rotaryTable(options, t);
    const context: Context = {
      batchSize: b,
      blockSize: t,
      positions,
      ...(options.starts === undefined ? {} : { starts: options.starts }),
      offset,
      rotary,
      recompute: this.gradientCheckpointing,
    };
    const { body } = this;
    return body.forward(body.embed(ids), context, cache ?? null);
  }

  /**
   * Logits [B, T, V] of token ids, int32 [B, T].
   * @throws ShapeError when ids, positions or starts are not [B, T] or do not fit the positions that the model has,
   *   UsageError when a cache, through which no gradient flows, is written while gradients are recorded
   */
  forward(ids: Tensor, options: ForwardOptions = {}): Tensor {
    return composite(this, () => this.head.forward(this.#hidden(ids, options)));
  }

  /** The cross-entropy of a batch in nats, a scalar. */
  loss(batch: TokenBatch, options: LossOptions = {}): Tensor {
    return composite(this, () => this.#loss(batch, options));
  }

  #loss(batch: TokenBatch, options: LossOptions): Tensor {
    const { batchSize, blockSize, inputs, ...rest } = checkBatch(batch);
    expectOptions(options, LOSS_OPTIONS, "the loss");
    const shape = [batchSize, blockSize];
    const ids = tensor(inputs, { shape });
    const targets = tensor(rest.targets, { shape });
    // A captured step takes starts always: the next batch may have some.
    const starts =
      recording() !== null || rest.starts.some((start) => start !== 0)
        ? { starts: tensor(rest.starts, { shape }) }
        : {};
    const positions = tensor(rest.positions, { shape });
    const hidden = this.#hidden(ids, { positions, ...starts });
    const { head } = this;
    const logitBytes = inputs.length * this.config.vocabSize * 4;
    if (isLinear(head)) {
      const above = CHUNKED_ABOVE[head.weight.requiresGrad ? "trained" : "frozen"];
      if (logitBytes > above) return head.loss(hidden, targets, options);
    }
    return crossEntropy(head.forward(hidden), targets, options);
  }

  #checkIds(ids: Tensor, options: ForwardOptions): readonly [number, number] {
    if (!(ids instanceof Tensor)) throw notIds(ids);
    expectOptions(options, FORWARD_OPTIONS, "a forward pass");
    const [b, t] = ids.shape;
    if (ids.rank !== 2 || ids.dtype !== "int32" || b === undefined || t === undefined) {
      throw new ShapeError(
        `The model got ids of ${ids.dtype} [${ids.shape}]; expected int32 [B, T].`,
      );
    }
    for (const name of ["positions", "starts"] as const) {
      const given = options[name];
      if (given === undefined) continue;
      expectTensor("The model", given);
      if (given.dtype === "int32" && String(given.shape) === String(ids.shape)) continue;
      throw new ShapeError(
        `The model got ${name} of ${given.dtype} [${given.shape}]; expected int32 [${ids.shape}].`,
      );
    }
    const { cache } = options;
    if (cache !== undefined && !(cache instanceof KvCache)) {
      throw wrongKind("The cache of a forward pass", cache, "a KvCache");
    }
    const { window } = this.config;
    const before = cache?.length ?? 0;
    const taken = before === 0 ? this.body.virtualTokens : before;
    if (window !== undefined) expectInWindow(taken + t, window);
    expectRoom(t, taken, cache?.capacity ?? this.config.maxPositions);
    if (cache !== undefined && cache.batchSize !== b) {
      throw new ShapeError(
        `The cache is for ${cache.batchSize} sequences, but ids are [${b}, ${t}].`,
      );
    }
    return [b, t];
  }
}

/** Positions offset, offset + 1, ... in each row, int32 [B, T]; do they move on from one replay to the next? */
function countPositions(b: number, t: number, offset: () => number, move: boolean): Tensor {
  const count = (out: Float32Array | Int32Array): void => {
    for (let i = 0; i < out.length; i++) {
      const position = (): number => offset() + (i % t);
      out[i] = position();
      if (move) recording()?.moves(out.byteOffset + 4 * i, position);
    }
  };
  return leaf([b, t], count, { dtype: "int32" });
}

function notIds(given: unknown): UsageError {
  const length = Array.isArray(given) ? given.length : "T";
  return wrongKind(
    "What the model reads",
    given,
    "a tensor of token ids, int32 [B, T]",
    `Make one of a list of ids with tensor(Int32Array.from(ids), { shape: [1, ${length}] }).`,
  );
}
