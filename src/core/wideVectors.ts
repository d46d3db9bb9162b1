// WebAssembly's vectors have 128 bits. V8 can make one operation of 256 bits of two neighbouring ones; lane by lane they
// compute the same, so no bit changes. It is an experiment of V8's, off by default, and belongs to the process: only a
// caller who asks for it gets it.

import { UsageError } from "./error.ts";
import { builtinModule } from "./features.ts";

const FLAG = "--experimental-wasm-revectorize";

interface Host {
  readonly process?: {
    readonly arch?: string;
    readonly versions?: Readonly<Record<string, string | undefined>>;
  };
}

/** What runs here, for a message. */
function runtime(): string {
  if ("Deno" in globalThis) return "Deno";
  if ("Bun" in globalThis) return "Bun";
  const { process } = globalThis as unknown as Host;
  const node = process?.versions?.["node"];
  return node === undefined ? "no Node" : `Node ${node} on ${process?.arch}`;
}

/**
 * Has V8 pair vectors in all code that it optimizes from now on.
 * @throws UsageError where that cannot be had or gains nothing: V8 before 13 spills registers, and pairs on x86-64 alone.
 */
export function widenVectors(): void {
  const v8 = builtinModule("node:v8") as
    | { readonly setFlagsFromString?: (flags: string) => void }
    | undefined;
  const found = runtime();
  const isNew = "Float16Array" in globalThis;
  if (!(isNew && /^Node .* on x64$/.test(found)) || v8?.setFlagsFromString === undefined) {
    throw new UsageError(
      `wideVectors needs Node 24 or newer on x64, whose V8 has the flag ${FLAG}; this is ${found}. Leave the option out: the results are the same.`,
    );
  }
  v8.setFlagsFromString(FLAG);
}
