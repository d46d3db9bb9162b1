#!/usr/bin/env node
// The `lowrank` command. What it does stands in run.ts; here it meets the process.

import { runCommandLine } from "./run.ts";
import { makeTerminal } from "./terminal.ts";

// A reader that has had enough (`lowrank inspect | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await runCommandLine(process.argv.slice(2), makeTerminal(process));
