// The directory that `lowrank train` writes:
//   DIR/adapter/                   the adapter, as PEFT writes it
//   DIR/merged/                    the model with the adapter merged (DIR/model/ after a full fine-tuning)
//   DIR/checkpoint/run.json        how the run was started
//   DIR/checkpoint/state-<step>.bin   training states, the last two
// A second run may write over all of it. Anything else that lies there is foreign and refused before anything is done.

import { UsageError } from "../core/error.ts";
import {
  absolutePath,
  exists,
  kindOfPath,
  list,
  makeDirectory,
  readFile,
  removeFile,
  temporaryFor,
  writeFile,
} from "../core/files.ts";

const MODEL_FILE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json$|^model(-\d{5}-of-\d{5})?\.safetensors$|^(merges\.txt|tokenizer\.model|chat_template\.jinja)$/;
const ADAPTER_FILE = /^adapter_(config\.json|model\.safetensors)$/;
const STATE_FILE = /^state-(\d+)\.bin$/;
const RUN_FILE = "run.json";

const OWN: Readonly<Record<string, RegExp>> = {
  adapter: ADAPTER_FILE,
  merged: MODEL_FILE,
  model: MODEL_FILE,
  checkpoint: /^run\.json$|^state-\d+\.bin$/,
};

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
  readonly #states: string;

  constructor(path: string) {
    this.path = path;
    const base = path.replace(/(?<=.)\/+$/, "");
    this.adapter = `${base}/adapter`;
    this.merged = `${base}/merged`;
    this.model = `${base}/model`;
    this.#states = `${base}/checkpoint`;
  }

  /** Throws a UsageError if the place holds anything that is not a run's own. */
  check(): void {
    checkKind(this.path);
    for (const name of namesIn(this.path)) {
      const own = OWN[name] ?? OWN[temporaryFor(name) ?? ""];
      if (own === undefined) throw this.#foreign(this.path, name);
      const inside = `${this.path}/${name}`;
      checkKind(inside);
      for (const file of namesIn(inside)) {
        if (!own.test(file) && !own.test(temporaryFor(file) ?? ""))
          throw this.#foreign(inside, file);
        if (kindOfPath(`${inside}/${file}`) !== "file") throw this.#foreign(inside, file);
      }
    }
  }

  #foreign(directory: string, name: string): UsageError {
    return new UsageError(
      `The output directory ${JSON.stringify(directory)} already holds something else: ${JSON.stringify(name)}. ` +
        "Nothing was changed. Choose another place with --out DIR.",
    );
  }

  /** Makes the place ready for a new run, without the states of an old one. */
  begin(run: string): void {
    makeDirectory(this.#states);
    for (const { path } of this.checkpoints()) removeFile(path);
    this.writeRun(run);
  }

  writeRun(run: string): void {
    writeFile(`${this.#states}/${RUN_FILE}`, new TextEncoder().encode(run));
  }

  /** How the run was started; null if there is none. */
  readRun(): { readonly path: string; readonly bytes: Uint8Array } | null {
    const path = `${this.#states}/${RUN_FILE}`;
    return exists(path) ? { path, bytes: readFile(path) } : null;
  }

  /** Writes a state, whole or not at all, and lets go of all but the last two. */
  save(step: number, state: Uint8Array): Checkpoint {
    const path = `${this.#states}/state-${step}.bin`;
    writeFile(path, state);
    const older = this.checkpoints().filter((checkpoint) => checkpoint.step < step);
    for (const { path: old } of older.slice(KEPT_STATES - 1)) removeFile(old);
    return { path, step };
  }

  /** The states that are there, newest first. */
  checkpoints(): Checkpoint[] {
    return namesIn(this.#states)
      .flatMap((name) => {
        const step = STATE_FILE.exec(name)?.[1];
        return step === undefined ? [] : [{ path: `${this.#states}/${name}`, step: Number(step) }];
      })
      .sort((a, b) => b.step - a.step);
  }
}

function namesIn(path: string): string[] {
  return exists(path) ? list(path) : [];
}

function checkKind(path: string): void {
  const kind = kindOfPath(path);
  if (kind === null || kind === "directory") return;
  throw new UsageError(
    `${JSON.stringify(path)} is a file, but a directory is to be written there. Choose another place with --out DIR.`,
  );
}

/**
 * Checks that a model or adapter can be written to `path` later: it is missing, empty, or holds files of that kind.
 * @throws UsageError
 */
export function checkTarget(path: string, kind: "adapter" | "model"): void {
  checkKind(path);
  const own = kind === "adapter" ? ADAPTER_FILE : MODEL_FILE;
  const foreign = namesIn(path).find(
    (name) => !own.test(name) && !own.test(temporaryFor(name) ?? ""),
  );
  if (foreign === undefined) return;
  throw new UsageError(
    `The directory ${JSON.stringify(absolutePath(path))} already holds something else: ${JSON.stringify(foreign)}. ` +
      "Nothing was changed. Choose another place with --out DIR.",
  );
}
