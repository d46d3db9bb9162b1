// The trainer: forward, backward and AdamW over a dataset, one optimizer step a call. Its state is a value: the
// bytes of `state()`, given to a trainer made alike in another process or runtime, go on to the bit.

import { fingerprintOf } from "../adapters/option.ts";
import { type AnyAdapter, adaptersOf, baseParameters, expectModel } from "../adapters/set.ts";
import { UsageError } from "../core/error.ts";
import { expectInstance } from "../core/kind.ts";
import { Dataset } from "../data/dataset.ts";
import type { TokenBatch } from "../nn/batch.ts";
import type { Transformer } from "../nn/transformer.ts";
import { AdamW } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import type { Schedule } from "../optim/schedule.ts";
import { type Captured, capture } from "../tensor/capture.ts";
import { tensor } from "../tensor/create.ts";
import { manualSeed } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { difference } from "./arithmetic.ts";
import { crc32 } from "./checksum.ts";
import { DivergenceError } from "./divergence.ts";
import { readTokens, trainedTokens } from "./evaluate.ts";
import type { StepReport, TrainerOptions } from "./progress.ts";
import { makeSchedule, type Settings, settingsOf } from "./settings.ts";
import { readState, writeState } from "./state.ts";
import { expectTraining, trainedParameters } from "./trained.ts";

/** Trains what requires gradients in `model` on `data`. */
export class Trainer {
  readonly model: Transformer;
  readonly data: Dataset;
  readonly options: Settings;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #optimizer: AdamW;
  readonly #schedule: Schedule;
  /** Adds a batch's gradients, times a factor [1]; gives its loss times the factor. */
  readonly #backward: Captured<[TokenBatch, Float32Array], Tensor>;
  #step = 0;
  #warnings: readonly string[] = [];

  constructor(model: Transformer, data: Dataset, options: TrainerOptions) {
    expectModel(model);
    expectInstance("The data", data, Dataset, "a dataset", "loadText(model) makes one.");
    this.model = model;
    this.data = data;
    this.options = settingsOf(options);
    this.#schedule = makeSchedule(this.options);
    const { lr, betas, weightDecay, full } = this.options;
    this.#parameters = trainedParameters(model, full);
    const all = [...this.#parameters.values()];
    const groups = [
      { params: all.filter(({ rank }) => rank > 1), weightDecay },
      { params: all.filter(({ rank }) => rank <= 1), weightDecay: 0 },
    ].filter(({ params }) => params.length > 0);
    this.#optimizer = new AdamW(groups, { lr, betas });
    this.#backward = capture((batch, factor) => {
      const loss = this.model.loss(batch, {
        reduction: "sum",
        factor: tensor(factor, { shape: [] }),
      });
      loss.backward();
      return loss;
    });
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#step;
  }

  /** What `loadState` had to say of the state that it took: that the run goes on with other bits. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  get done(): boolean {
    return this.#step >= this.options.steps;
  }

  /**
   * One optimizer step.
   * @throws DivergenceError when the loss or a gradient is not finite: it names the step, and no weight has changed in it;
   *   UsageError when nothing that this trainer was made for trains any more, and inside a scope.
   */
  trainStep(): StepReport {
    expectTraining(this.model, this.#parameters);
    return this.model.engine.run(() => this.#trainStep());
  }

  #trainStep(): StepReport {
    const { lr, gradientAccumulation, maxGradNorm } = this.options;
    const factor = this.#schedule(this.#step);
    const first = this.#step * gradientAccumulation;
    const batches = Array.from({ length: gradientAccumulation }, (_, i) =>
      this.data.batchAt(first + i),
    );
    const tokens = batches.reduce((sum, batch) => sum + trainedTokens(batch), 0);
    this.#optimizer.zeroGrad();
    let loss = 0;
    batches.forEach((batch, i) => {
      loss += this.#accumulate(batch, tokens, first + i);
    });
    const gradNorm = clipGradNorm(this.#parameters.values(), maxGradNorm);
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      this.#optimizer.zeroGrad();
      const what = Number.isFinite(loss) ? `gradient norm is ${gradNorm}` : `loss is ${loss}`;
      const advice =
        this.#step === 0
          ? "No weight has been trained yet: look at the model's weights and at the data of this step."
          : "Lower the learning rate, or look at the data of this step.";
      throw new DivergenceError(
        this.#step + 1,
        `the ${what}. The weights are those after step ${this.#step}. ${advice}`,
      );
    }
    this.#optimizer.setScheduleFactor(factor);
    this.#optimizer.step();
    this.#optimizer.zeroGrad();
    this.#step += 1;
    if (this.done) {
      // What comes after the run may have the memory of its activations.
      this.#backward.dispose();
      // The loss of the next step tells of an update that overflowed; after the last one nothing would.
      this.#expectFinite();
    }
    const inputTokens = batches.reduce((sum, batch) => sum + readTokens(batch), 0);
    return { step: this.#step, loss, lr: lr * factor, gradNorm, tokens, inputTokens };
  }

  #expectFinite(): void {
    for (const [name, parameter] of this.#parameters) {
      if ((parameter.toArray() as Float32Array).every(Number.isFinite)) continue;
      throw new DivergenceError(
        this.#step,
        `the update made ${name} infinite or NaN. Lower the learning rate and take an earlier checkpoint.`,
      );
    }
  }

  /** Adds a batch's gradients, as its share of all the step's tokens; returns its share of the loss. */
  #accumulate(batch: TokenBatch, tokens: number, index: number): number {
    if (tokens === 0) return 0;
    const { training, gradientCheckpointing } = this.model;
    this.model.train();
    // What is asked of the model itself holds as well.
    this.model.gradientCheckpointing ||= this.options.gradientCheckpointing;
    manualSeed(this.options.seed, index);
    try {
      return this.#backward(batch, Float32Array.of(1 / tokens)).item();
    } finally {
      this.model.train(training);
      this.model.gradientCheckpointing = gradientCheckpointing;
    }
  }

  /** Steps to the end of the run, each reported as it is done. */
  *run(): IterableIterator<StepReport> {
    while (!this.done) yield this.trainStep();
  }

  /** Everything that the rest of the run depends on: weights that train, moments, step, options. */
  state(): Uint8Array {
    return writeState({
      engine: this.model.engine,
      step: this.#step,
      setup: this.#setup(),
      parameters: this.#parameters,
      optimizer: this.#optimizer.stateDict(),
    });
  }

  /**
   * Goes on from where `state()` was taken. The model, data and options must be the same; but `gradientCheckpointing`,
   * which changes no bit, may be another, and `lr`, for going on after the loss was not finite. Where the engine computes
   * with other bits than the one that made the state, `warnings` says so.
   * @throws FormatError for damaged bytes, UsageError for another run's, or in a deterministic engine for one of other
   *   bits; then nothing has changed.
   */
  loadState(bytes: Uint8Array, name = "The training state"): void {
    const state = readState(bytes, name, this.#setup(), this.#parameters);
    const { engine } = this.model;
    const other = difference(state.arithmetic, engine);
    if (other !== null && engine.deterministic) {
      throw new UsageError(
        `${name} was made ${other}: the bits would not be those of a run that was never stopped, which is what deterministic ` +
          "asks for. Leave it out, or start the run again.",
      );
    }
    this.#optimizer.loadStateDict(state.optimizer);
    for (const [key, parameter] of this.#parameters) parameter.set(state.parameters.get(key) ?? []);
    this.#step = state.step;
    this.#warnings =
      other === null
        ? []
        : [`${name} was made ${other}: the result is as good, but not the same to the bit.`];
  }

  /** What must be equal for a run to go on. */
  #setup(): Record<string, unknown> {
    const { batchSize, blockSize, seed, summary } = this.data;
    const { trainTokens, rowsPerEpoch } = summary;
    const { inputs } = this.data.batchAt(0);
    const firstBatch = crc32(new Uint8Array(inputs.buffer, inputs.byteOffset, inputs.byteLength));
    const { adapters, active, merged } = adaptersOf(this.model);
    const used = active.flatMap((name) => adapters.get(name) ?? []);
    return {
      options: {
        ...this.options,
        lr: undefined,
        gradientCheckpointing: undefined,
        full: undefined,
      },
      data: { batchSize, blockSize, seed, trainTokens, rowsPerEpoch, firstBatch },
      "model's settings": this.model.config,
      // What shapes do not tell: scale and dropout.
      adapters: used.map(({ name, method, config }) => ({
        name,
        ...fingerprintOf(method.options, config),
      })),
      "merged adapters": merged,
      "frozen weights (CRC-32)": this.#checkFrozen(used),
    };
  }

  /** The checksum of all that takes part without training; made anew each time, for merging or `set` may change it. */
  #checkFrozen(used: readonly AnyAdapter[]): number {
    const trained = new Set(this.#parameters.values());
    const base = [...baseParameters(this.model)].map(([, parameter]) => parameter);
    let sum = 0;
    for (const parameter of [...base, ...used.flatMap((adapter) => [...adapter.parameters()])]) {
      if (!trained.has(parameter)) sum = crc32(new Uint8Array(parameter.toArray().buffer), sum);
    }
    return sum;
  }

  /** Frees the optimizer's moments and the captured step. */
  dispose(): void {
    this.#backward.dispose();
    this.#optimizer.dispose();
  }
}
