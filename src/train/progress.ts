// What a training step reports, and the settings of a run.

/** How the learning rate goes on after warm-up. */
export type ScheduleName = "constant" | "linear" | "cosine";

/** The settings of a run; all but `steps` have defaults. */
export interface TrainerOptions {
  /** Optimizer steps of the whole run; the schedule ends there. */
  readonly steps: number;
  /** Peak learning rate; default 2e-3. */
  readonly lr?: number;
  /** How the rate goes on after warm-up; default "cosine". */
  readonly schedule?: ScheduleName;
  /** Steps in which the rate rises from 0; default 5 % of the steps. */
  readonly warmupSteps?: number;
  /** Decoupled decay of AdamW; vectors (norms, biases) are left out. Default 0.01. */
  readonly weightDecay?: number;
  /** AdamW's β1 and β2; default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Batches whose gradients are added up for one step, each token counted alike; default 1. */
  readonly gradientAccumulation?: number;
  /** Gradients are scaled down to this global norm; 0 switches clipping off. Default 1. */
  readonly maxGradNorm?: number;
  /** Keeps the input of each block alone and runs the blocks again in backward: less memory, more time. The bits are the same. Default false. */
  readonly gradientCheckpointing?: boolean;
  /**
   * Says that all weights of a model without an adapter are to train, which is refused otherwise: most often an adapter was
   * forgotten. Default false.
   */
  readonly full?: boolean;
  /** Seed of dropout; default 0. */
  readonly seed?: number;
}

/** One optimizer step. */
export interface StepReport {
  /** Steps done, this one included. */
  readonly step: number;
  /** Mean loss of the step's tokens in nats, before the update. */
  readonly loss: number;
  readonly lr: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Targets trained in this step. */
  readonly tokens: number;
  /** Tokens read in this step, prompts included, padding not. */
  readonly inputTokens: number;
}
