// A system under measurement is a process of its own, that is asked for one thing at a time: it builds its case, says
// in one line of JSON what it computed, and then answers each line of its input by one of output.
//   run 5   {"times": [ms, ...]}, of five runs
//   memory  {"peakMB": 290}, the most resident memory that the process has had
// It ends with its input. A system that breaks answers {"error": "..."}.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** What is to be measured; a worker gets it as JSON in its last argument. */
export interface Spec {
  readonly kind: "step" | "decode" | "op" | "start" | "roof";
  readonly size?: "S" | "M" | "L";
  readonly method?: "full" | "lora";
  readonly threads: number;
  readonly build?: "baseline" | "relaxed";
  /** lowrank's option of that name. */
  readonly wideVectors?: boolean;
  /** Steps whose losses are reported first, or tokens that are decoded first. */
  readonly check: number;
  /** The chain of small ops as a captured step. */
  readonly replayed?: boolean;
}

/** What a worker says first. */
export interface Ready {
  readonly version: string;
  /** Losses of the first steps, before each update. */
  readonly losses?: readonly number[];
  /** The most resident memory when all was imported and nothing built. */
  readonly importMB?: number;
  /** The first tokens decoded. */
  readonly tokens?: readonly number[];
}

/** How to start a system. */
export interface Command {
  readonly name: string;
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** L's first step of a system that compiles takes half a minute, and several steps are checked. */
const LONGEST = 600_000;

/** The line of an error output that says most: the last that names an error, or the last. */
export function reasonIn(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? "").trim();
}

/** A running system. */
export interface System {
  readonly name: string;
  readonly ready: Ready;
  /** Milliseconds of each of so many runs. */
  run(count: number): Promise<readonly number[]>;
  /** The most resident memory so far, in MB of 2^20 bytes. */
  peakMemory(): Promise<number>;
  close(): Promise<void>;
}

/** Starts a system and waits until it has built and checked its case. */
export async function startSystem(command: Command, spec: Spec): Promise<System> {
  const { name, program } = command;
  const child = spawn(program, [...command.arguments, JSON.stringify(spec)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...command.environment },
  });
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints = `${complaints}${chunk}`.slice(-600)));
  child.stdin.on("error", () => {});
  const ended = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      complaints += error.message;
      resolve();
    });
    child.on("close", () => resolve());
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => {
    const limit = setTimeout(() => child.kill("SIGKILL"), LONGEST);
    try {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) {
          await ended;
          throw new Error(`It ended. ${reasonIn(complaints)}`);
        }
        // Systems print what they like beside their answers.
        if (!value.startsWith("{")) continue;
        const found = JSON.parse(value) as Record<string, unknown>;
        if (found["error"] !== undefined) throw new Error(String(found["error"]));
        return found;
      }
    } finally {
      clearTimeout(limit);
    }
  };
  const ask = (line: string): Promise<Record<string, unknown>> => {
    child.stdin.write(`${line}\n`);
    return answer();
  };
  const close = async (): Promise<void> => {
    child.stdin.end();
    const limit = setTimeout(() => child.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(limit);
  };
  try {
    const ready = (await answer()) as unknown as Ready;
    return {
      name,
      ready,
      run: async (count) => (await ask(`run ${count}`))["times"] as number[],
      peakMemory: async () => Number((await ask("memory"))["peakMB"]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
