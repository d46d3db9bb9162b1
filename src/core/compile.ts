// From text to a compiled module.
//
//   baseline   compiled when an engine asks for it; in hosts without workers at import, for workerd compiles from bytes
//              at no other time
//   relaxed    the same, where the host has relaxed SIMD
//   given      `init({ module })`, for hosts that compile nothing from bytes
//
// The baseline lies in the package as text, the relaxed binary as a patch of it (decompress.ts).
//
// Both binaries import a shared memory. For hosts that cannot share one the flag is cleared (sharedFlag.ts).

import { text as baseline } from "./binary/baseline.ts";
import { text as relaxed } from "./binary/relaxed.ts";
import { decompress } from "./decompress.ts";
import { UsageError } from "./error.ts";
import { canShareMemory, hasFeature, isEdge, mayHaveWorkers } from "./features.ts";
import { kindOf } from "./kind.ts";
import { withUnsharedMemory } from "./sharedFlag.ts";

/** Which binary runs: plain SIMD, or relaxed SIMD with fused multiply-add. */
export type Build = "baseline" | "relaxed";

export interface ChosenModule {
  readonly module: WebAssembly.Module;
  readonly build: Build;
  /** Whether the memory that the module imports must be shared. */
  readonly shared: boolean;
}

/** What to look for in a module. */
export interface ModuleChoice {
  /** Take the baseline build: the same bits everywhere. */
  readonly deterministic: boolean;
  /** The compiled `lowrank/core.wasm`, which is the baseline build. */
  readonly module?: WebAssembly.Module;
}

let failure: unknown;
// The published program marks the call, so that a bundler leaves it out where nobody makes an engine (bundle.mjs).
const compiled: Map<Build, ChosenModule> = compileAtImport();

function compileAtImport(): Map<Build, ChosenModule> {
  const modules = new Map<Build, ChosenModule>();
  if (!mayHaveWorkers()) compile("baseline", modules);
  return modules;
}

/** The compiled build; undefined, and `failure` says why, where the host refuses. */
function compile(
  build: Build,
  modules: Map<Build, ChosenModule> = compiled,
): ChosenModule | undefined {
  const known = modules.get(build);
  if (known !== undefined) return known;
  try {
    const shared = canShareMemory();
    const bytes = binaryOf(build);
    const module = new WebAssembly.Module(shared ? bytes : withUnsharedMemory(bytes));
    modules.set(build, { module, build, shared });
  } catch (error) {
    failure ??= error;
  }
  return modules.get(build);
}

/**
 * The module that an engine runs: the given one; else the relaxed build where it is allowed and compiles; else
 * the baseline.
 *
 * @throws {UsageError} when nothing could be compiled and no module was given.
 */
export function chooseModule(choice: ModuleChoice): ChosenModule {
  if (choice.module !== undefined) return given(choice.module);
  // Without the relaxed build the baseline does the same, without fused multiply-add.
  const fused = !choice.deterministic && !isEdge() && hasFeature("relaxedSimd");
  const chosen = (fused ? compile("relaxed") : undefined) ?? compile("baseline");
  if (chosen === undefined) throw new UsageError(whyNotCompiled(), { cause: failure });
  return chosen;
}

/** Throws for an engine that was not made by `init` or `Engine.create`, which choose a module. */
export function expectChosen(chosen: ChosenModule | undefined): ChosenModule {
  if (chosen !== undefined) return chosen;
  throw new UsageError("An engine is made by `await init()` or `await Engine.create()`.");
}

function given(module: WebAssembly.Module): ChosenModule {
  // Asked of the tag, since a host may make its modules in another realm.
  if (module?.[Symbol.toStringTag] !== "WebAssembly.Module") {
    throw new UsageError(
      `init({ module }) expects a compiled WebAssembly.Module and got ${kindOf(module)}. ` +
        "Import it with `import core from 'lowrank/core.wasm'`, or compile the bytes of that file.",
    );
  }
  if (!canShareMemory()) {
    throw new UsageError(
      "The module given to init({ module }) imports a shared memory, which this host cannot make. " +
        "Leave the option out, so that lowrank compiles a variant without it.",
    );
  }
  return { module, build: "baseline", shared: true };
}

function whyNotCompiled(): string {
  if (typeof WebAssembly !== "object") {
    return "This host has no WebAssembly, which lowrank needs. Use another runtime or browser mode.";
  }
  if (!hasFeature("simd") || !hasFeature("threads")) {
    return (
      "This host's WebAssembly lacks SIMD or atomic instructions, which lowrank needs. " +
      "Use Node 20, a browser of 2022, or anything newer."
    );
  }
  // Jest's environment for jsdom leaves both out.
  const lacks = ["TextEncoder", "TextDecoder"].filter(
    (name) => typeof Reflect.get(globalThis, name) !== "function",
  );
  if (lacks.length > 0) {
    return (
      `This host has no ${lacks.join(" and no ")}, which lowrank needs. Where a test environment leaves them out, ` +
      `take them from Node: globalThis.${lacks[0]} = require("node:util").${lacks[0]}.`
    );
  }
  if (/^(?:Reference|Type|Range)Error$/.test((failure as Error | undefined)?.name ?? "")) {
    return `lowrank's WebAssembly could not be made ready: ${String(failure)}. Something that lowrank needs of the host is missing or replaced.`;
  }
  return (
    `This host refused to compile lowrank's WebAssembly from bytes (${String(failure)}). Two causes are common: ` +
    "a Cloudflare compatibility date before 2025-06-01, and a content security policy without 'wasm-unsafe-eval'. " +
    "Change that, or import the module with `import core from 'lowrank/core.wasm'` and call `init({ module: core })`."
  );
}

/** The bytes of a build, as asc made them. */
export function binaryOf(build: Build): Uint8Array {
  return build === "baseline" ? decompress(baseline) : decompress(baseline, relaxed);
}
