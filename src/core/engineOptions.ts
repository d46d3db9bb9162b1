// What a caller may say about the engine.

import { UsageError } from "./error.ts";
import { kindOf } from "./kind.ts";
import { expectOptions, type OptionNames } from "./options.ts";
import { optionName } from "./wording.ts";

/** Bytes of a page of WebAssembly's memory. */
export const PAGE = 65536;
/** Pages that an engine begins with. */
export const INITIAL_PAGES = 16;

/** How `init` sets the engine up. */
export interface EngineOptions {
  /** The baseline build: the same bits on every machine, in every runtime. Default false. */
  readonly deterministic?: boolean;
  /**
   * Threads to compute with, the main one included; `init` waits until all are there. Default: the number of cores, at
   * most 8; in Node, Bun and Deno they are then started once there has been work for them, and join as they come.
   */
  readonly threads?: number;
  /** The compiled `lowrank/core.wasm`, for hosts that forbid compiling from bytes. */
  readonly module?: WebAssembly.Module;
  /** The most memory the engine may use, in bytes; at most 4 GiB, which is the default. */
  readonly maximumMemory?: number;
  /**
   * Experimental, for Node 24 or newer on x86-64 with AVX2: V8 makes one vector operation of 256 bits of two neighbouring ones
   * of 128, by its flag `--experimental-wasm-revectorize`. Less time, the same bits. The flag is set for the whole process: other
   * WebAssembly is paired as well, and code caches written without it are not used. Where V8 checks bounds of memory in code
   * (`--disable-wasm-trap-handler`), or without AVX2, it may cost time. Default false.
   */
  readonly wideVectors?: boolean;
  /** The worker's script, for pages whose content policy forbids `data:` workers. */
  readonly workerUrl?: string | URL;
}

const ENGINE_OPTIONS: OptionNames<EngineOptions> = {
  deterministic: true,
  threads: true,
  module: true,
  maximumMemory: true,
  wideVectors: true,
  workerUrl: true,
};

/**
 * The most pages that an engine may have.
 * @throws UsageError for an amount that no engine can have, and for an option that nobody knows
 */
export function maximumPages(options: EngineOptions): number {
  expectOptions(options, ENGINE_OPTIONS, "the engine");
  const { maximumMemory = 65536 * PAGE } = options;
  const maximum = typeof maximumMemory === "number" ? Math.floor(maximumMemory / PAGE) : 0;
  if (maximum >= INITIAL_PAGES && maximum <= 65536) return maximum;
  throw new UsageError(
    `${optionName("maximumMemory")} is ${kindOf(maximumMemory)} bytes; it must lie between ${INITIAL_PAGES * PAGE} (1 MiB) and ${65536 * PAGE} (4 GiB).`,
  );
}
