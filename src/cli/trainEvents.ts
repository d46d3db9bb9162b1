// What happens in `lowrank train`, as data. With --json these are the lines of standard output.

import type { StepReport } from "../train/progress.ts";
import type {
  AdapterSummary,
  Budget,
  DataSummary,
  EngineSummary,
  ModelSummary,
} from "./summary.ts";

/** Loss on held-out text. */
export interface EvaluationSummary {
  /** Nats a token. */
  readonly loss: number;
  readonly perplexity: number;
  readonly bitsPerByte: number;
  readonly tokens: number;
}

interface Start {
  readonly event: "start";
  readonly version: string;
  readonly model: ModelSummary;
  /** Null for a full fine-tuning. */
  readonly adapter: AdapterSummary | null;
  readonly data: DataSummary;
  readonly budget: Budget;
  readonly engine: EngineSummary;
  readonly run: {
    readonly steps: number;
    readonly batchSize: number;
    readonly blockSize: number;
    readonly accumulate: number;
    readonly lr: number;
    readonly schedule: string;
    readonly warmupSteps: number;
    readonly seed: number;
    readonly out: string;
  };
}

interface Resumed {
  readonly event: "resumed";
  readonly step: number;
  readonly checkpoint: string;
  /** Newer checkpoints that are damaged. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** Held-out loss before the run; null with nothing held out. */
  readonly lossBefore: number | null;
}

interface Evaluated extends EvaluationSummary {
  readonly event: "evaluation";
  readonly when: "before" | "during" | "after";
  /** Steps done, of one during the run. */
  readonly step?: number;
}

interface Step extends StepReport {
  readonly event: "step";
  readonly steps: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

/** The last event of a run that was stopped. */
export interface Interrupted {
  readonly event: "interrupted";
  readonly signal: string;
  readonly step: number;
  readonly checkpoint: string;
  /** The command that goes on. */
  readonly resume: string;
}

/** The last event of a run that came to its end. */
export interface Done {
  readonly event: "done";
  /** Null with nothing held out. */
  readonly lossBefore: number | null;
  readonly lossAfter: number | null;
  readonly steps: number;
  readonly seed: number;
  readonly tokensPerSecond: number;
  /** SHA-256 of adapter_model.safetensors; null for a full fine-tuning. */
  readonly adapterSha256: string | null;
  /** SHA-256 of the model's weights after a full fine-tuning; null otherwise. */
  readonly modelSha256: string | null;
  /** Largest difference of logits between the merged and the unmerged model. */
  readonly mergeDifference: number | null;
  readonly seconds: number;
  readonly memoryBytes: number;
  readonly adapter: string | null;
  readonly model: string;
}

export type TrainEvent =
  | Start
  | Resumed
  | Step
  | Interrupted
  | Done
  | { readonly event: "warning"; readonly message: string }
  | Evaluated
  | {
      readonly event: "sample";
      readonly when: "before" | "after";
      readonly prompt: string;
      readonly text: string;
    }
  | { readonly event: "checkpoint"; readonly step: number; readonly path: string }
  | {
      readonly event: "saved";
      readonly what: "adapter" | "merged" | "model";
      readonly path: string;
    }
  | {
      readonly event: "merged";
      readonly largestDifference: number;
      readonly largestLogit: number;
      readonly tokens: number;
    };

/** The event of a name. */
export type EventOf<K extends TrainEvent["event"]> = Extract<TrainEvent, { readonly event: K }>;
