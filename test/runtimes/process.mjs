// Child processes that end, one way or another: each has a time limit and is stopped by its own id.
import { spawn } from "node:child_process";

/** Runs a command to its end. `status` is null when it had to be stopped, or could not be started. */
export function runToEnd(command, args, { cwd, seconds }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    const limit = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("error", (error) => (stderr += error.message));
    child.on("close", (status) => {
      clearTimeout(limit);
      resolve({ status, stdout, stderr });
    });
  });
}

/** Starts a server or a browser, lets `use` work with it and stops it. Its error output goes to `use` as a function. */
export async function whileRunning(command, args, { cwd }, use) {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const ended = new Promise((resolve) => {
    child.on("error", (error) => {
      stderr += error.message;
      resolve();
    });
    child.on("close", resolve);
  });
  try {
    return await use(() => stderr);
  } finally {
    child.kill("SIGTERM");
    const limit = setTimeout(() => child.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(limit);
  }
}
