// How a run was started: the record beside its checkpoints. Resuming reads the options from it and makes sure that
// nothing that decides the result has changed since.

import { createHash } from "node:crypto";
import type { Engine } from "../core/engine.ts";
import { FormatError, LowrankError } from "../core/error.ts";
import { withoutSecrets } from "../core/secrets.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Transformer } from "../nn/transformer.ts";
import { difference } from "../train/arithmetic.ts";
import { type Arguments, CommandLineError, readArguments } from "./arguments.ts";
import { flagOf, type OptionsFor } from "./option.ts";
import type { RunDirectory } from "./runDirectory.ts";
import type { EvaluationSummary } from "./trainEvents.ts";
import { type RunValues, runOptions, type TrainValues, toWords } from "./trainOptions.ts";

/** SHA-256 of what the run starts from. */
export interface Fingerprint {
  /** All weights of the base model. */
  readonly model: string;
  /** The batches of the first epoch. */
  readonly data: string;
}

/** The record of a run. */
export interface RunRecord {
  /** The options, as words of a command line. */
  readonly arguments: readonly string[];
  /** Options whose address holds a user or a query, which is not written down: they must be given again. */
  readonly withheld?: readonly Address[];
  readonly fingerprint: Fingerprint;
  /** What makes the bits besides: of an earlier record's only the build is known. */
  readonly build: string;
  readonly multiplyAdds?: string;
  readonly revision?: string;
  /** Held-out loss before the first step; null while it is not known, or with nothing held out. */
  readonly before: EvaluationSummary | null;
  /** It was told to write over an earlier run, whose results go when its own are saved. */
  readonly overwrites?: boolean;
  /** Its results are saved. */
  readonly finished?: boolean;
}

/**
 * What to say of a record's run when it goes on with other bits than it was started with; null when they are the same.
 * @throws LowrankError where the bits were to be the same
 */
export function otherBits(record: RunRecord, engine: Engine): string | null {
  const { build, multiplyAdds, revision = "1" } = record;
  const known = { build, revision, ...(multiplyAdds === undefined ? {} : { multiplyAdds }) };
  const other = difference(known, engine);
  if (other === null) return null;
  if (!engine.deterministic) {
    return `The run was started ${other}: the result is as good, but not the same to the bit.`;
  }
  throw new LowrankError(
    `The run was started ${other}: with --deterministic it cannot go on. Use the version of lowrank that it was started ` +
      "with, or start it again.",
  );
}

export function fingerprint(model: Transformer, data: Dataset): Fingerprint {
  const weights = createHash("sha256");
  for (const [name, parameter] of model.namedParameters()) {
    weights.update(`${name} [${parameter.shape}]`);
    const values = parameter.toArray();
    weights.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  const text = createHash("sha256");
  for (const { inputs, targets } of data.batches(Math.ceil(data.summary.batchesPerEpoch))) {
    for (const array of [inputs, targets]) {
      text.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    }
  }
  return { model: weights.digest("hex"), data: text.digest("hex") };
}

export function formatRecord(record: RunRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** The options that may be an address of the web. */
type Address = "model" | "data";

const isAddress = (text: string) => /^https?:/i.test(text);

/** Words for a record: paths in full, so that the run can be resumed from another directory. */
export function wordsOf(values: RunValues, absolute: (path: string) => string): string[] {
  const whole = (path: string | undefined) => {
    if (path === undefined) return path;
    return isAddress(path) ? withoutSecrets(path) : absolute(path);
  };
  return toWords({ ...values, model: whole(values.model), data: whole(values.data) });
}

/** What a record says of the options. */
export function describeOptions(
  values: RunValues,
  absolute: (path: string) => string,
): Pick<RunRecord, "arguments" | "withheld"> {
  const withheld = (["model", "data"] as const).filter((key) => {
    const { [key]: place } = values;
    return place !== undefined && isAddress(place) && withoutSecrets(place) !== place;
  });
  return { arguments: wordsOf(values, absolute), withheld };
}

/**
 * The record of the run in a directory, and the values to resume it with.
 * @throws FormatError when it is damaged, CommandLineError when an option was given that the run has otherwise
 */
export function readRecord(
  directory: RunDirectory,
  asked: Arguments<OptionsFor<TrainValues>>,
): { readonly record: RunRecord; readonly values: TrainValues } {
  const file = directory.readRun();
  const record = parse(file.bytes, file.path);
  const kept = readKept(record, file.path);
  const values = { ...asked.values };
  const missing = record.withheld?.filter((key) => !asked.given.has(key)) ?? [];
  if (missing.length > 0) {
    throw new CommandLineError(
      `The run was started with ${missing.map((name) => `${flagOf(name)} ${kept[name]}`).join(" and ")}, an address ` +
        "whose user or query is not written down, for it may be secret. Give the whole address again with " +
        `${missing.map(flagOf).join(" and ")}; what lies there is compared with what the run began with.`,
    );
  }
  const conflicts: string[] = [];
  for (const key of Object.keys(runOptions) as (keyof RunValues)[]) {
    // A model or text may have moved; their fingerprints are compared instead. A lower rate may save the run.
    const isFree = key === "model" || key === "data" || key === "lr";
    if (asked.given.has(key) && isFree) continue;
    if (asked.given.has(key) && JSON.stringify(asked.values[key]) !== JSON.stringify(kept[key])) {
      conflicts.push(`${flagOf(key)} was ${kept[key] || "not given"}`);
    }
    Object.assign(values, { [key]: kept[key] });
  }
  if (conflicts.length === 0) return { record, values };
  throw new CommandLineError(
    `A run can only be resumed as it was started: ${conflicts.join(", ")}. Leave these options out, or start a new ` +
      "run elsewhere, without --resume.",
  );
}

/** Whether the run in a directory has saved its results; one whose record is damaged has not. */
export function isFinished(directory: RunDirectory): boolean {
  const file = directory.readRun();
  try {
    return parse(file.bytes, file.path).finished === true;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return false;
  }
}

function parse(bytes: Uint8Array, path: string): RunRecord {
  const fail = (): never => {
    throw new FormatError(
      `${JSON.stringify(path)} is damaged, so the run cannot be resumed. Start it again with --overwrite in the ` +
        "place of --resume.",
    );
  };
  try {
    const record = JSON.parse(new TextDecoder().decode(bytes)) as RunRecord;
    const isRecord =
      Array.isArray(record.arguments) &&
      record.arguments.every((word) => typeof word === "string") &&
      typeof record.fingerprint?.model === "string" &&
      typeof record.fingerprint.data === "string" &&
      [record.build, record.multiplyAdds, record.revision].every(
        (word) => word === undefined || typeof word === "string",
      ) &&
      (record.withheld ?? []).every((key) => key === "model" || key === "data") &&
      (record.before === null || typeof record.before?.loss === "number");
    return isRecord ? record : fail();
  } catch {
    return fail();
  }
}

function readKept(record: RunRecord, path: string): RunValues {
  try {
    return readArguments(record.arguments, runOptions).values;
  } catch (error) {
    if (!(error instanceof CommandLineError)) throw error;
    throw new FormatError(`${JSON.stringify(path)} cannot be used: ${error.message}`);
  }
}

/** Throws a LowrankError if the model or the text is not the one that the run was started with. */
export function checkFingerprint(record: RunRecord, own: Fingerprint): void {
  const changed = [
    ...(record.fingerprint.model === own.model ? [] : ["the model's weights"]),
    ...(record.fingerprint.data === own.data ? [] : ["the text"]),
  ];
  if (changed.length === 0) return;
  throw new LowrankError(
    `The run cannot go on: ${changed.join(" and ")} changed since it was started. Name the same files with --model ` +
      "and --data, or start a new run elsewhere, without --resume.",
  );
}
