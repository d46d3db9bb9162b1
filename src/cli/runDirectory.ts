// The directory that `lowrank train` writes:
//   DIR/adapter/                   the adapter, as PEFT writes it
//   DIR/merged/                    the model with the adapter merged (DIR/model/ after a full fine-tuning)
//   DIR/checkpoint/run.json        how the run was started
//   DIR/checkpoint/state-<step>.bin   training states, the last two
//   DIR/checkpoint/lock-<n>           which process writes, while it runs
// A run that is told to may write over all of it. Anything else that lies there is foreign and refused before anything
// is done.

import { rmdirSync } from "node:fs";
import { tidyDirectory } from "../core/directory-writer.ts";
import { UsageError } from "../core/error.ts";
import {
  exists,
  fileSystem,
  kindOfPath,
  list,
  makeDirectory,
  readFile,
  removeFile,
  writeFile,
} from "../core/files.ts";
import { isOnTheWay } from "../core/pending.ts";
import { temporaryFor } from "../core/temporary.ts";
import { MOST } from "./defaults.ts";
import { shellWord } from "./format.ts";
import { ownInvocation } from "./invocation.ts";
import { checkLength, namesOfDirectory, namesOfFile } from "./nameLength.ts";
import { LOCK_FILE } from "./runLock.ts";

const MODEL_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json$|^model(-\d{5}-of-\d{5})?\.safetensors$|^(merges\.txt|tokenizer\.model|chat_template\.jinja)$/;
const ADAPTER_FILE = /^adapter_(config\.json|model\.safetensors)$/;
const STATE_FILE = /^state-(\d+)\.bin$/;
const RUN_FILE = "run.json";

const OWN: ReadonlyMap<string, RegExp> = new Map([
  ["adapter", ADAPTER_FILE],
  ["merged", MODEL_FILE],
  ["model", MODEL_FILE],
  ["checkpoint", new RegExp(`^run\\.json$|${STATE_FILE.source}|${LOCK_FILE.source}`)],
]);

const KEPT_STATES = 2;

/** A training state on disk. */
export interface Checkpoint {
  readonly path: string;
  readonly step: number;
}

export class RunDirectory {
  readonly path: string;
  readonly adapter: string;
  readonly merged: string;
  readonly model: string;
  readonly #base: string;
  /** Where training states and the record go. */
  readonly states: string;

  constructor(path: string) {
    this.path = path;
    this.#base = path.replace(/(?<=.)\/+$/, "");
    this.adapter = `${this.#base}/adapter`;
    this.merged = `${this.#base}/merged`;
    this.model = `${this.#base}/model`;
    this.states = `${this.#base}/checkpoint`;
  }

  /** All directories that a run writes into. */
  get folders(): readonly string[] {
    return [this.adapter, this.merged, this.model, this.states];
  }

  /** Throws a UsageError if the place holds anything that is not a run's own. */
  check(): void {
    checkKind(this.path);
    for (const name of namesIn(this.path)) {
      const own = OWN.get(temporaryFor(name) ?? name);
      if (own === undefined) throw this.#foreign(this.path, name);
      const inside = `${this.path}/${name}`;
      checkKind(inside);
      for (const file of namesIn(inside)) {
        if (!own.test(temporaryFor(file) ?? file)) throw this.#foreign(inside, file);
        // A run that is under way, whose lock is looked at later, may have removed it since.
        if (!["file", null].includes(kindOfPath(`${inside}/${file}`)))
          throw this.#foreign(inside, file);
      }
    }
  }

  #foreign(directory: string, name: string): UsageError {
    return new UsageError(
      `The output directory ${JSON.stringify(directory)} already holds something else: ${JSON.stringify(name)}. ` +
        "Nothing was changed. Choose another place with --out DIR.",
    );
  }

  /** The command that goes on with the run. */
  get resumeCommand(): string {
    return `${ownInvocation()} train --out ${shellWord(this.path)} --resume`;
  }

  /** Something of an earlier run, such as "adapter"; null if there is none. */
  earlier(): string | null {
    const holds = (folder: string, own: RegExp) =>
      namesIn(`${this.#base}/${folder}`).some((name) => own.test(name) && !LOCK_FILE.test(name));
    return [...OWN].find(([folder, own]) => holds(folder, own))?.[0] ?? null;
  }

  /** Whether there is a run to go on with. */
  isResumable(): boolean {
    return exists(`${this.states}/${RUN_FILE}`) && this.checkpoints().length > 0;
  }

  /** Throws a UsageError if the file system does not take the longest names that a run makes. */
  checkNames(): void {
    checkLength(this.path, [
      ...[this.adapter, this.merged, this.model].flatMap(namesOfDirectory),
      ...namesOfFile(`${this.states}/state-${MOST.steps}.bin`),
    ]);
  }

  /** Finishes saves that were killed, and removes what they left. */
  tidy(): void {
    tidyDirectory(this.path);
    for (const [folder, own] of OWN)
      tidyDirectory(`${this.#base}/${folder}`, (name) => own.test(name));
  }

  /** Makes the place ready for a new run, without the states of an old one. */
  begin(run: string): void {
    makeDirectory(this.states);
    this.tidy();
    for (const { path } of this.checkpoints()) removeFile(path);
    this.writeRun(run);
  }

  writeRun(run: string): void {
    writeFile(`${this.states}/${RUN_FILE}`, new TextEncoder().encode(run));
  }

  /** How the run was started. */
  readRun(): { readonly path: string; readonly bytes: Uint8Array } {
    const path = `${this.states}/${RUN_FILE}`;
    return { path, bytes: readFile(path) };
  }

  /** Writes a state, whole or not at all, and lets go of all but the last two. */
  save(step: number, state: Uint8Array): Checkpoint {
    const path = `${this.states}/state-${step}.bin`;
    writeFile(path, state);
    const older = this.checkpoints().filter((checkpoint) => checkpoint.step < step);
    for (const { path: old } of older.slice(KEPT_STATES - 1)) removeFile(old);
    return { path, step };
  }

  /**
   * Removes what a run of the other kind left beside the results of this one: adapter and merged model, or the model
   * of a full fine-tuning. What this run wrote stays.
   */
  removeOthers(isFull: boolean): void {
    for (const folder of isFull ? ["adapter", "merged"] : ["model"]) {
      const path = `${this.#base}/${folder}`;
      const own = namesIn(path).filter((name) => OWN.get(folder)?.test(name));
      for (const name of own) removeFile(`${path}/${name}`);
      if (own.length > 0) removeEmptyDirectory(path);
    }
  }

  /** The states that are there, newest first. */
  checkpoints(): Checkpoint[] {
    return namesIn(this.states)
      .flatMap((name) => {
        const step = STATE_FILE.exec(name)?.[1];
        return step === undefined ? [] : [{ path: `${this.states}/${name}`, step: Number(step) }];
      })
      .sort((a, b) => b.step - a.step);
  }
}

/** The names in a directory but those of saves on their way. */
function namesIn(path: string): string[] {
  if (!exists(path)) return [];
  return list(path).filter((name) => !isOnTheWay(path, name, fileSystem()));
}

/** Removes a directory if it holds nothing. */
export function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It holds something by now, or is gone.
  }
}

function checkKind(path: string): void {
  const kind = kindOfPath(path);
  if (kind === null || kind === "directory") return;
  throw new UsageError(
    `${JSON.stringify(path)} is a file, but a directory is to be written there. Choose another place with --out DIR.`,
  );
}

/**
 * Checks that a model can be written to `path` later: the place is missing or empty, or holds another model.
 * @returns a file of that model; null if there is none
 * @throws UsageError
 */
export function checkModelTarget(path: string): string | null {
  checkKind(path);
  const names = namesIn(path);
  const foreign = names.find((name) => !MODEL_FILE.test(temporaryFor(name) ?? name));
  if (foreign !== undefined) {
    throw new UsageError(
      `The directory ${JSON.stringify(path)} already holds something else: ${JSON.stringify(foreign)}. ` +
        "Nothing was changed. Choose another place with --out DIR.",
    );
  }
  checkLength(path, namesOfDirectory(path));
  return names.find((name) => MODEL_FILE.test(name)) ?? null;
}
