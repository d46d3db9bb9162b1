// Runs the compiled `lowrank` command in a process of its own, as a user's shell does.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { runCommandLine } from "../../src/cli/run.ts";
import { makeTerminal, type Terminal } from "../../src/cli/terminal.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** A line of --json. */
export type JsonEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** What a run left behind. */
export interface Finished {
  /** The exit code; null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A signal to send as soon as this step is reported (with --json). */
  readonly interrupt?: { readonly step: number; readonly signal: NodeJS.Signals };
}

/** Runs `lowrank` with these words. */
export function lowrank(words: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { cwd, env, interrupt } = options;
  const child = spawn(process.execPath, [main, ...words], {
    cwd: cwd ?? process.cwd(),
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let isSent = false;
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
    if (interrupt === undefined || isSent) return;
    if (!stdout.includes(`{"event":"step","step":${interrupt.step},`)) return;
    isSent = true;
    child.kill(interrupt.signal);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** A terminal whose streams are caught; `isTTY` makes it one with colours that can rewrite a line. */
export function caughtTerminal(isTTY = false): {
  readonly terminal: Terminal;
  readonly written: { stdout: string; stderr: string };
} {
  const written = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr") => ({
    isTTY,
    columns: 80,
    write(text: string) {
      written[name] += text;
    },
  });
  const host = { stdout: stream("stdout"), stderr: stream("stderr"), env: {} };
  return { terminal: makeTerminal(host), written };
}

/** The same inside this process, which saves starting one; what is printed is caught. */
export async function lowrankHere(words: readonly string[]): Promise<Finished> {
  const { terminal, written } = caughtTerminal();
  const code = await runCommandLine(words, terminal);
  return { code, signal: null, ...written };
}

/** The lines of --json; throws if one of them is no JSON object with an event. */
export function eventsOf({ stdout }: Finished): JsonEvent[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => {
      const value = JSON.parse(line) as JsonEvent;
      if (typeof value.event !== "string") throw new Error(`no event: ${line}`);
      return value;
    });
}

/** The first line of --json. */
export function firstEvent(finished: Finished): JsonEvent {
  const first = eventsOf(finished)[0];
  if (first === undefined) throw new Error("there is no output");
  return first;
}

/** The last line of --json. */
export function lastEvent(finished: Finished): JsonEvent {
  const last = eventsOf(finished).at(-1);
  if (last === undefined) throw new Error("there is no output");
  return last;
}
