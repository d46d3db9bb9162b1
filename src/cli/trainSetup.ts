// Everything that `lowrank train` needs before its first step, made from its options: engine, model, text, adapter,
// trainer.

import type { Adapter } from "../adapters/adapter.ts";
import { injectLora } from "../adapters/lora.ts";
import type { Engine } from "../core/engine.ts";
import type { Dataset } from "../data/dataset.ts";
import type { PretrainedModel } from "../io/pretrained.ts";
import { Trainer } from "../train/trainer.ts";
import { RUN } from "./defaults.ts";
import type { RunDirectory } from "./runDirectory.ts";
import { type Fingerprint, fingerprint } from "./runRecord.ts";
import { fitBlockSize, openModel, openText, startEngine } from "./session.ts";
import { summarizeAdapter, summarizeBudget, summarizeData, summarizeModel } from "./summary.ts";
import type { View } from "./terminal.ts";
import type { TrainEvent } from "./trainEvents.ts";
import type { TrainValues } from "./trainOptions.ts";
import { version } from "./version.ts";

/** What a run holds together. */
export interface Run {
  readonly values: TrainValues;
  readonly directory: RunDirectory;
  readonly show: View<TrainEvent>;
  readonly engine: Engine;
  readonly model: PretrainedModel;
  readonly data: Dataset;
  /** Null when every weight trains. */
  readonly adapter: Adapter | null;
  readonly trainer: Trainer;
  /** What the run starts from: the model without the adapter, and the text. */
  readonly fingerprint: Fingerprint;
}

/** Makes all of it and says what it is. */
export async function setUp(
  values: TrainValues,
  directory: RunDirectory,
  show: View<TrainEvent>,
): Promise<Run> {
  const engine = await startEngine(values);
  const model = await openModel(values.model);
  const data = await readData(model, values);
  const start = fingerprint(model, data);
  const parameters = model.countParameters();
  const adapter = values.full ? null : addAdapter(model, values);
  const trainer = makeTrainer(model, data, values);
  const run = {
    values,
    directory,
    show,
    engine,
    model,
    data,
    adapter,
    trainer,
    fingerprint: start,
  };
  announce(run, parameters);
  return run;
}

async function readData(model: PretrainedModel, values: TrainValues): Promise<Dataset> {
  const { data: path, batchSize, seed, validation } = values;
  const blockSize = fitBlockSize(values.blockSize, RUN.blockSize, model.config, batchSize);
  return openText(model, path, { batchSize, blockSize, seed, validation });
}

function addAdapter(model: PretrainedModel, values: TrainValues): Adapter {
  const { r, alpha, dropout, targets, exclude, rslora, seed } = values;
  const options = {
    r,
    loraAlpha: alpha,
    loraDropout: dropout,
    targetModules: targets,
    excludeModules: exclude ?? null,
    useRslora: rslora,
  };
  return injectLora(model, options, { seed });
}

function makeTrainer(model: PretrainedModel, data: Dataset, values: TrainValues): Trainer {
  const { steps, schedule, weightDecay, maxGradNorm, seed, full } = values;
  return new Trainer(model, data, {
    steps,
    lr: values.lr ?? (full ? RUN.fullLr : RUN.lr),
    schedule,
    ...(values.warmup === undefined ? {} : { warmupSteps: values.warmup }),
    weightDecay,
    gradientAccumulation: values.accumulate,
    maxGradNorm,
    gradientCheckpointing: values.gradientCheckpointing,
    full,
    seed,
  });
}

function announce(run: Run, parameters: number): void {
  const { values, directory, engine, model, data, adapter, trainer, show } = run;
  const { steps, lr, schedule, warmupSteps, gradientAccumulation, seed } = trainer.options;
  const trainable = model.countParameters({ trainable: true });
  show({
    event: "start",
    version: version(),
    model: summarizeModel(model, parameters),
    adapter: adapter === null ? null : summarizeAdapter(adapter),
    data: summarizeData(data, values.data),
    budget: summarizeBudget(parameters, trainable, adapter !== null),
    engine: { build: engine.build, threads: engine.threads },
    run: {
      steps,
      batchSize: data.batchSize,
      blockSize: data.blockSize,
      accumulate: gradientAccumulation,
      lr,
      schedule,
      warmupSteps,
      seed,
      out: directory.path,
    },
  });
  for (const message of [...model.warnings, ...(adapter?.warnings ?? [])]) {
    show({ event: "warning", message });
  }
}
