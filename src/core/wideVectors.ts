// WebAssembly's vectors have 128 bits. V8 can make one operation of 256 bits of two neighbouring ones; lane by lane they
// compute the same, so no bit changes. It is an experiment of V8's, off by default, and belongs to the process: only a
// caller who asks for it gets it.

import { UsageError } from "./error.ts";
import { builtinModule, isEdge } from "./features.ts";
import { optionName } from "./wording.ts";

const FLAG = "experimental-wasm-revectorize";
/** V8 before this spills the registers of the tiles that pay. */
const LEAST_V8 = 13;

interface Host {
  readonly process?: {
    readonly arch?: string;
    readonly versions?: Readonly<Record<string, string | undefined>>;
  };
}

interface V8 {
  readonly setFlagsFromString: (flags: string) => void;
  /** A number that depends on V8's version and flags. */
  readonly cachedDataVersionTag: () => number;
}

/** What runs here, for a message. */
function runtime(): string {
  if (isEdge()) return "an edge runtime";
  if ("Deno" in globalThis) return "Deno";
  if ("Bun" in globalThis) return "Bun";
  const { process } = globalThis as unknown as Host;
  const node = process?.versions?.["node"];
  return node === undefined ? "no Node" : `Node ${node} on ${process?.arch}`;
}

/** Sets the flag. Of one that it does not know V8 says so on the error output and goes on: nothing but its tag tells. */
function isSet(v8: V8): boolean {
  v8.setFlagsFromString(`--no-${FLAG}`);
  const without = v8.cachedDataVersionTag();
  v8.setFlagsFromString(`--${FLAG}`);
  return v8.cachedDataVersionTag() !== without;
}

/**
 * Has V8 pair vectors in all code that it optimizes from now on.
 * @throws UsageError where that cannot be had or gains nothing.
 */
export function widenVectors(): void {
  const found = runtime();
  const { process } = globalThis as unknown as Host;
  const isNew = Number.parseInt(process?.versions?.["v8"] ?? "0", 10) >= LEAST_V8;
  const v8 = builtinModule("node:v8") as V8 | undefined;
  const fits = isNew && /^Node .* on x64$/.test(found) && v8 !== undefined;
  if (fits && isSet(v8)) return;
  throw new UsageError(
    `${optionName("wideVectors")} needs Node 24 or newer on x64, whose V8 has the flag --${FLAG}; this is ${found}. Leave the option out: the results are the same.`,
  );
}
