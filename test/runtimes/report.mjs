// Runs the program once for each number of threads, inside whatever runtime this is.
import { contents } from "./contents.mjs";
import { run, runHalf } from "./program.mjs";

// The files come as base64 in a module: the one form that every runtime can import.
function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function packageFiles() {
  return Object.fromEntries(
    Object.entries(contents).map(([path, base64]) => [path, decode(base64)]),
  );
}

/** Half of the run; a state's bytes in, a state's bytes or an object with the hash out. */
export async function half(lowrank, { state, module }) {
  return runHalf(lowrank, { files: packageFiles(), state, ...(module && { module }) });
}

/** `{ runs: [{ threads, build, sha256 }, ...] }`, or `{ error, stack }` when the program threw. */
export async function report(lowrank, { threads, module, options }) {
  try {
    const files = packageFiles();
    const runs = [];
    for (const count of threads) {
      runs.push(await run(lowrank, { threads: count, files, options, ...(module && { module }) }));
    }
    return { runs };
  } catch (error) {
    return { error: `${error?.name}: ${error?.message}`, stack: error?.stack };
  }
}
