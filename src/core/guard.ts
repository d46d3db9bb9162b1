// The exports of an engine as its front end calls them: what runs jobs is watched, and all of them can be taken away,
// when the engine has broken or was closed.

import { type LowrankError, ReleasedError } from "./error.ts";
import type { Exports } from "./exports.ts";

type Run = (at: number, more: number) => number;

/** What may run on several threads; a trap in it breaks the engine. */
const JOBS = "commit backward replay rerun runProgram adamw sgd clipGradients".split(" ");

/** What is done around jobs. */
export interface Watch {
  /** After each job. */
  readonly after: () => void;
  /** The error to throw instead of what the job `name`, called with `at`, has thrown. */
  readonly broke: (name: string, at: number, cause: unknown) => LowrankError;
}

/** Exports like these, whose jobs are watched. */
export function guarded(wasm: Exports, { after, broke }: Watch): Exports {
  const functions = { ...wasm } as unknown as Record<string, Run>;
  for (const name of JOBS) {
    const run = functions[name]!;
    functions[name] = (at, more) => {
      try {
        const result = run(at, more);
        after();
        return result;
      } catch (error) {
        throw broke(name, at, error);
      }
    };
  }
  return functions as unknown as Exports;
}

/** Lets all of them throw but those that give something back: there is nothing left to give back. */
export function takeAway(exports: Exports, error: () => LowrankError): void {
  const functions = exports as unknown as Record<string, Run>;
  for (const key of Object.keys(functions)) {
    const isRelease = key.startsWith("release") || key === "dispose";
    functions[key] = () => {
      if (isRelease) return 0;
      throw error();
    };
  }
}

/** What every use of a closed engine, and of what was made in it, throws. */
export function closedError(): ReleasedError {
  return new ReleasedError(
    "The engine was closed, by close() or by a further init(), and all that was made in it is gone: tensors, models, optimizers. " +
      "Call init() before models are loaded, and load them anew after a close.",
  );
}
