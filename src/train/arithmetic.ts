// What makes the bits of a run besides its inputs: which binary computes, what the host makes of its relaxed operations,
// and the revision of the engine. Two runs that are alike in all of it are equal to the bit.

import type { Engine } from "../core/engine.ts";
import { ENGINE_REVISION, revisionEntry, revisionOf } from "../core/revision.ts";
import { tensor } from "../tensor/create.ts";
import { noGrad, scope } from "../tensor/scope.ts";

/** Arithmetic by its names. What a file from before they were written says nothing of is left out. */
export interface Arithmetic {
  readonly build?: string;
  /** Whether a·b + c is rounded once. With relaxed SIMD that is up to the host. */
  readonly multiplyAdds?: string;
  readonly revision: string;
}

const BUILD = "lowrank_build";
const MULTIPLY_ADDS = "lowrank_multiply_adds";

/** The arithmetic of an engine here. */
export function arithmeticOf(engine: Engine): Required<Arithmetic> {
  return {
    build: engine.build,
    multiplyAdds: fuses(engine) ? "fused" : "unfused",
    revision: String(ENGINE_REVISION),
  };
}

/** a² − (1 + 2⁻¹¹) with a = 1 + 2⁻¹²: a² is 1 + 2⁻¹¹ + 2⁻²⁴, whose last term a rounding to float32 takes away. */
function fuses(engine: Engine): boolean {
  const a = 1 + 1 / 4096;
  const product = (): number =>
    tensor([[-(1 + 1 / 2048), a]])
      .matmul(tensor([[1], [a]]))
      .item();
  return engine.run(() => scope(() => noGrad(product))) !== 0;
}

/** The entries of a file's metadata that name an arithmetic. */
export function arithmeticEntries(engine: Engine): (readonly [string, string])[] {
  const { build, multiplyAdds } = arithmeticOf(engine);
  return [[BUILD, build], [MULTIPLY_ADDS, multiplyAdds], revisionEntry()];
}

/** The arithmetic that a file's metadata name. */
export function arithmeticIn(metadata: ReadonlyMap<string, string>): Arithmetic {
  const build = metadata.get(BUILD);
  const multiplyAdds = metadata.get(MULTIPLY_ADDS);
  return {
    ...(build === undefined ? {} : { build }),
    ...(multiplyAdds === undefined ? {} : { multiplyAdds }),
    revision: revisionOf(metadata),
  };
}

/** What was otherwise "with the relaxed build, now with the baseline build", or null when the bits are the same. */
export function difference(before: Arithmetic, engine: Engine): string | null {
  const now = arithmeticOf(engine);
  const differ = (key: keyof Arithmetic): boolean =>
    before[key] !== undefined && before[key] !== now[key];
  const parts = [
    ...(differ("build") ? [[`the ${before.build} build`, `the ${now.build} one`]] : []),
    ...(differ("multiplyAdds")
      ? [[`${before.multiplyAdds} multiply-adds`, `${now.multiplyAdds} ones`]]
      : []),
    ...(differ("revision")
      ? [[`revision ${before.revision} of the engine`, `revision ${now.revision}`]]
      : []),
  ];
  if (parts.length === 0) return null;
  const side = (i: 0 | 1): string => parts.map((part) => part[i]).join(" and ");
  return `with ${side(0)}, and goes on with ${side(1)}`;
}
