// Causal attention, and the cache of keys and values that decoding writes.

import { ShapeError, UsageError } from "../core/error.ts";
import { expectNumber, kindOf } from "../core/kind.ts";
import { Field, Op } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { recording } from "../core/recording.ts";
import { apply } from "./apply.ts";
import { expectTensor } from "./check.ts";
import type { Tensor } from "./tensor.ts";

/** The position now, once `expect` has had a look at it; `follow` tells a captured step whose position it is. */
class Place {
  readonly now: number;
  readonly #again: (() => number) | null;

  constructor(offset: number | (() => number), expect: (now: number) => void) {
    const ask = (): number => {
      const now = typeof offset === "function" ? offset() : offset;
      expect(now);
      return now;
    };
    this.#again = typeof offset === "function" ? ask : null;
    this.now = ask();
  }

  /** `y` is the op whose first attribute it is. */
  follow(y: Tensor): Tensor {
    if (this.#again !== null) recording()?.moves(y.address + Field.attributes, this.#again);
    return y;
  }
}

/** Which keys a query sees, and the factor of the scores. */
export interface AttentionOptions {
  /** The factor before the softmax; 1 / sqrt(D) when not given. */
  readonly scale?: number;
  /** The first key that each query sees, int32 [B, Tq]; 0 everywhere when not given. Never behind the query itself. */
  readonly starts?: Tensor;
  /**
   * The position of query 0 among the keys; `length` − Tq when not given: the queries are the last ones. Replays of a
   * captured step ask a function again.
   */
  readonly offset?: number | (() => number);
  /** How many of the Tk keys are there, when k and v are caches with room at their end; Tk when not given. */
  readonly length?: number;
}

const ATTENTION_OPTIONS: OptionNames<AttentionOptions> = {
  scale: true,
  starts: true,
  offset: true,
  length: true,
};

/**
 * Causal attention softmax(scale·q·kᵀ)·v (Vaswani et al. 2017, arXiv:1706.03762, eq. 1). Query t stands at key
 * offset + t and sees no key behind it. H may be a multiple of G: query head h reads key head ⌊h / (H/G)⌋
 * (Ainslie et al. 2023, arXiv:2305.13245).
 * @param q [B, Tq, H, D]
 * @param k [B, Tk, G, D]
 * @param v [B, Tk, G, D]
 * @returns [B, Tq, H, D]
 * @throws ShapeError naming all shapes when they do not fit, or the queries do not stand among the keys.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = NO_OPTIONS,
): Tensor {
  for (const x of [q, k, v]) expectTensor("attention", x);
  expectOptions(options, ATTENTION_OPTIONS, "attention");
  const [b = 0, tq = 0, h = 0, d = 0] = q.shape;
  const [, tk = 0, g = 0] = k.shape;
  const { starts, length = tk, offset = length - tq, scale = 1 / Math.sqrt(d) } = options;
  if (starts !== undefined) expectTensor("attention", starts);
  expectNumber("scale", scale);
  const refuse = (why: string): never => {
    const segments = starts === undefined ? "" : `, starts ${starts.dtype} [${starts.shape}]`;
    throw new ShapeError(
      `attention got q [${q.shape}], k [${k.shape}], v [${v.shape}]${segments}: ${why}. ` +
        "Expected float32 q [B, Tq, H, D], k and v [B, Tk, G, D] with G a divisor of H, and int32 starts [B, Tq].",
    );
  };
  for (const [name, x] of [
    ["q", q],
    ["k", k],
    ["v", v],
  ] as const) {
    if (x.rank !== 4) refuse(`${name} has ${x.rank} axes instead of 4`);
    if (x.dtype !== "float32") refuse(`${name} is ${x.dtype}`);
  }
  if (k.shape[0] !== b || k.shape[3] !== d) refuse("q and k differ in B or D");
  if (k.shape.some((size, axis) => size !== v.shape[axis])) refuse("k and v differ");
  if (g === 0 ? h !== 0 : h % g !== 0) {
    refuse(`${h} query heads cannot share ${g} key heads evenly`);
  }
  if (starts !== undefined) {
    const fits = starts.rank === 2 && starts.shape[0] === b && starts.shape[1] === tq;
    if (!fits || starts.dtype !== "int32") refuse(`starts must be int32 [${b}, ${tq}]`);
  }
  if (!Number.isInteger(length) || length < 0 || length > tk) {
    refuse(`length is ${kindOf(length)}, but k holds ${tk} keys`);
  }
  const place = new Place(offset, (now) => {
    if (Number.isInteger(now) && now >= 0 && now + tq <= length) return;
    refuse(`${tq} queries from position ${kindOf(now)} on do not stand among ${length} keys`);
  });
  const sources = starts === undefined ? [q, k, v] : [q, k, v, starts];
  return place.follow(apply(Op.Attention, sources, q.shape, { offset: place.now, scale }));
}

/**
 * Writes rows [B, T, G, D] of keys or values into a persistent cache [B, Tmax, G, D], at positions offset to
 * offset + T − 1, in place. No gradient flows through a cache. Replays of a captured step ask a function again.
 * @throws ShapeError naming both shapes when the rows do not fit, UsageError when the cache is no plain persistent tensor,
 *   the rows require a gradient, or a captured function gives a number as offset, which would not move on.
 */
export function writeCache(cache: Tensor, rows: Tensor, offset: number | (() => number)): void {
  expectTensor("writeCache", cache);
  expectTensor("writeCache", rows);
  const [b, capacity = 0, g, d] = cache.shape;
  const [rowB, t = 0, rowG, rowD] = rows.shape;
  const alike = cache.rank === 4 && rows.rank === 4 && b === rowB && g === rowG && d === rowD;
  const typed = cache.dtype === "float32" && rows.dtype === "float32";
  const place = new Place(offset, (now) => {
    if (alike && typed && Number.isInteger(now) && now >= 0 && now + t <= capacity) return;
    throw new ShapeError(
      `writeCache cannot write rows ${rows.dtype} [${rows.shape}] at position ${kindOf(now)} of a cache ` +
        `${cache.dtype} [${cache.shape}]. Expected float32 rows [B, T, G, D] and cache [B, Tmax, G, D] with offset + T at most Tmax.`,
    );
  });
  if (cache.engine !== rows.engine) {
    throw new UsageError("The cache and the rows belong to two engines; an op works within one.");
  }
  if (!cache.persistent || cache.requiresGrad) {
    throw new UsageError(
      "A cache is a persistent tensor without a gradient. Make it with zeros(shape, { persistent: true }).",
    );
  }
  if (rows.requiresGrad) {
    throw new UsageError(
      "No gradient flows through a cache, but the rows written into it require one. Wrap the call in noGrad(() => { ... }).",
    );
  }
  if (recording() !== null && typeof offset !== "function") {
    throw new UsageError(
      "A captured function cannot write into a cache at a fixed place. Give the offset as a function: replays ask it again.",
    );
  }
  const written = apply(Op.WriteCache, [rows, cache], [], { offset: place.now }, "int32");
  place.follow(written);
  if (written.persistent) written.dispose();
}
