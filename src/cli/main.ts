#!/usr/bin/env node
// The `lowrank` command. What it does stands in run.ts; here it meets the process. When nobody reads what it prints, a
// command that saves files goes on to its end, so that its exit code tells how that went; any other one is done.

import { Outlet } from "./outlet.ts";
import { runCommandLine, savesFiles } from "./run.ts";
import { makeTerminal } from "./terminal.ts";

const words = process.argv.slice(2);
let code = 0;

const stderr = new Outlet(process.stderr);
const stdout = new Outlet(process.stdout, ({ message, isClosed }) => {
  if (savesFiles(words)) {
    stderr.write(`lowrank: ${message}. The command goes on to its end and saves its results.\n`);
    return;
  }
  if (!isClosed) stderr.write(`lowrank: ${message}.\n`);
  // The command may be about to end with an error of its own.
  setImmediate(() => process.exit(exitCode()));
});

/** A text that was lost is an error; a reader that has had enough is none. */
function exitCode(): number {
  const isLost = stdout.failure !== null && !stdout.failure.isClosed;
  return code || (isLost ? 1 : 0);
}

code = await runCommandLine(words, makeTerminal({ stdout, stderr, env: process.env }));
await stdout.flush();
process.exitCode = exitCode();
