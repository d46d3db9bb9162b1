// Packed weights: a frozen [N, K] matrix as the panels that the products of linear layers read (assembly/tape/packedWeight.ts).

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The packed forms that are kept of a frozen weight: that of x·Wᵀ, or also, for as much memory again, that of
 * dX = dY·W, which backward else packs at every call. The bits are the same.
 */
export type Prepack = "forward" | "both";

/** How frozen weights are packed. */
export interface PackOptions {
  /** Left out, a packed weight stays as it is, and one in rows is packed "forward". */
  readonly prepack?: Prepack;
}

const PACK_OPTIONS: OptionNames<PackOptions> = { prepack: true };

/** Throws for a `prepack` that is none, among whatever other options. */
export function expectPrepack({ prepack }: PackOptions): void {
  if (prepack === undefined || prepack === "forward" || prepack === "both") return;
  throw new UsageError(`prepack is ${kindOf(prepack)}, but must be "forward" or "both".`);
}

/** Throws for options of packing that make no sense. */
export function expectPackOptions(options: PackOptions): void {
  expectOptions(options, PACK_OPTIONS, "packing");
  expectPrepack(options);
}

/** Packs a weight, or on a MemoryError leaves it as it was; see `Tensor.pack`. */
export function pack(weight: Tensor, options: PackOptions): void {
  expectPackOptions(options);
  const { engine, prepack: before, storage } = weight;
  if (storage !== "float32" && options.prepack === "both") {
    throw new UsageError(
      `A weight stored as ${storage} has one packed form; prepack: "both" would take four times its memory. ` +
        'Pack it with prepack: "forward", or unpack() it first, which makes it float32.',
    );
  }
  if (before === null) {
    const { persistent, requiresGrad, rank, dtype, shape } = weight;
    if (!persistent || requiresGrad || rank !== 2 || dtype !== "float32") {
      throw new UsageError(
        `Only a persistent, frozen float32 matrix can be packed; this tensor has shape [${shape}]` +
          `${requiresGrad ? " and requires a gradient" : ""}.`,
      );
    }
    const rows = engine.wasm.pack(weight.address) >>> 0;
    if (rows === 0) engine.outOfMemory("packing a weight");
    // Captured steps read the rows, and are told when they go.
    if (rows === weight.address) engine.noteChange(rows);
    else engine.dispose(rows);
  }
  const { prepack = before } = options;
  if (engine.wasm.prepack(weight.address, Number(prepack === "both")) === 0) {
    if (before === null) weight.unpack();
    engine.outOfMemory("packing a weight");
  }
}

/**
 * Packs weights, all or none. What takes memory comes first and is undone without taking any; what gives memory back
 * comes last and cannot fail.
 */
export function packAll(weights: ReadonlySet<Tensor>, options: PackOptions): void {
  expectPackOptions(options);
  const before = [...weights].map((weight) => [weight, weight.prepack] as const);
  const drops = (form: Prepack | null): boolean => form === "both" && options.prepack === "forward";
  const taking = before.filter(([, form]) => !drops(form));
  try {
    for (const [weight] of taking) weight.pack(options);
  } catch (error) {
    for (const [weight, form] of taking) {
      if (form === null) weight.unpack();
      else weight.pack({ prepack: form });
    }
    throw error;
  }
  for (const [weight, form] of before) if (drops(form)) weight.pack(options);
}

/** Overwrites a packed weight with as many values, row-major. */
export function setPacked(weight: Tensor, values: ArrayLike<number>): void {
  const { engine, storage } = weight;
  if (storage !== "float32") {
    throw new UsageError(
      `set() cannot write float32 values into a weight stored as ${storage}. Call unpack() first, which makes it float32.`,
    );
  }
  const rows = engine.wasm.allocate(4 * weight.size) >>> 0;
  if (rows === 0) engine.outOfMemory("a packed weight's values");
  engine.f32.set(values, rows >>> 2);
  engine.wasm.fillPanels(weight.address, rows);
  engine.wasm.release(rows);
}
