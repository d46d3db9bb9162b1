// Records: how the front end makes one, gives it its op, shape, sources and attributes, and lets the engine run it.
// Shapes and sources have been checked by the caller (apply.ts); a record holds all that the engine needs to run it again.

import { current, type Engine } from "../core/engine.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { wrongKind } from "../core/kind.ts";
import { type Attributes, Field, Flag, MAX_RANK, Op, type OpOf, Storage } from "../core/op.ts";
import type { OptionNames } from "../core/options.ts";
import { recording } from "../core/recording.ts";
import { shown } from "./check.ts";
import { type DType, Tensor } from "./tensor.ts";

/** Elements of the largest tensor, plus one: addresses in linear memory have 32 bits. */
const LARGEST = 1 << 30;

/** What a leaf is made with. */
export interface LeafOptions {
  readonly dtype?: DType;
  readonly requiresGrad?: boolean;
  /** Lives until disposed, also when made inside a scope. */
  readonly persistent?: boolean;
}

export const LEAF_OPTIONS: OptionNames<LeafOptions> = {
  dtype: true,
  requiresGrad: true,
  persistent: true,
};

function countElements(shape: readonly number[]): number {
  if (!Array.isArray(shape)) throw wrongKind("The shape of a tensor", shape, "an array of sizes");
  if (shape.length > MAX_RANK) {
    throw new ShapeError(
      `Shape [${shown(shape)}] has ${shape.length} axes; at most ${MAX_RANK} are supported.`,
    );
  }
  let size = 1;
  for (const length of shape) {
    if (!Number.isInteger(length) || length < 0) {
      throw new ShapeError(
        `Shape [${shown(shape)}] is not valid: every axis must be a whole number of at least 0.`,
      );
    }
    // Also of an empty tensor: its other axes must fit into 32 bits.
    size *= length || 1;
  }
  if (size >= LARGEST) {
    throw new ShapeError(
      `Shape [${shape}] is too large; the product of its axes must be below ${LARGEST}.`,
    );
  }
  return size;
}

function start(
  engine: Engine,
  op: number,
  shape: readonly number[],
  dtype: DType,
  persistent: boolean,
): number {
  countElements(shape);
  const step = recording();
  if (step !== null && step.engine !== engine) {
    throw new UsageError(
      "A captured step works in one engine, but a tensor of another one came in. Call it inside run() of that engine.",
    );
  }
  const record = engine.wasm.begin(persistent ? 1 : 0) >>> 0;
  if (record === 0) engine.outOfMemory("a tensor record");
  const i32 = engine.i32;
  const base = record >>> 2;
  i32[base] = op;
  i32[base + (Field.dtype >>> 2)] = dtype === "int32" ? 1 : 0;
  i32[base + (Field.rank >>> 2)] = shape.length;
  for (let i = 0; i < shape.length; i++) i32[base + (Field.dims >>> 2) + i] = shape[i] ?? 0;
  return record;
}

/** What `allOrNothing` would dispose of; null outside of it. */
let made: Tensor[] | null = null;

/** Runs a function that makes persistent tensors; when it throws, all that were made meanwhile are disposed of. */
export function allOrNothing<T>(fn: () => T): T {
  const outer = made;
  const own: Tensor[] = [];
  made = own;
  try {
    const result = fn();
    outer?.push(...own);
    return result;
  } catch (error) {
    for (const tensor of own) tensor.dispose();
    throw error;
  } finally {
    made = outer;
  }
}

function finish(
  engine: Engine,
  record: number,
  shape: readonly number[],
  dtype: DType,
  persistent: boolean,
): Tensor {
  if (engine.wasm.commit(record) === 0) engine.outOfMemory(`a tensor of shape [${shape}]`);
  const scope = persistent ? null : (engine.scopes.at(-1) ?? null);
  const tensor = new Tensor(engine, record, shape, dtype, scope);
  if (scope === null) made?.push(tensor);
  return tensor;
}

/** Makes the record of `op` on `sources`, runs it and appends it to the tape if a scope is open. */
export function recorded<Int extends string, Float extends string>(
  engine: Engine,
  op: OpOf<Int, Float>,
  sources: readonly Tensor[],
  shape: readonly number[],
  attributes: Attributes<Int | Float>,
  dtype: DType,
): Tensor {
  const record = start(engine, op.code, shape, dtype, false);
  const i32 = engine.i32;
  const base = record >>> 2;
  // Few numbers each: a loop is over before Array.map or TypedArray.set has begun.
  i32[base + (Field.sourceCount >>> 2)] = sources.length;
  for (let i = 0; i < sources.length; i++) {
    i32[base + (Field.sources >>> 2) + i] = sources[i]!.address;
  }
  const { ints, floats } = op;
  let at = base + (Field.attributes >>> 2);
  for (let i = 0; i < ints.length; i++) i32[at++] = attributes[ints[i]!];
  if (floats.length > 0) {
    const f32 = engine.f32;
    for (let i = 0; i < floats.length; i++) f32[at++] = attributes[floats[i]!];
  }
  return finish(engine, record, shape, dtype, false);
}

/** A tensor that no op has made; its values are arbitrary until `fill` has written them. */
export function leaf(
  shape: readonly number[],
  fill: (data: Float32Array | Int32Array) => void,
  options: LeafOptions = {},
  engine: Engine = current(),
): Tensor {
  const dtype = options.dtype ?? "float32";
  const persistent = options.persistent ?? false;
  if (options.requiresGrad && dtype !== "float32") {
    throw new UsageError("A tensor of int32 cannot have a gradient; use float32.");
  }
  const record = start(engine, Op.Leaf.code, shape, dtype, persistent);
  if (options.requiresGrad) {
    const flags = (record + Field.flags) >>> 2;
    engine.i32[flags] = (engine.i32[flags] ?? 0) | Flag.RequiresGrad;
  }
  const made = finish(engine, record, shape, dtype, persistent);
  const data = (engine.i32[(record + Field.data) >>> 2] ?? 0) >>> 2;
  const memory = dtype === "float32" ? engine.f32 : engine.i32;
  fill(memory.subarray(data, data + made.size));
  return made;
}

/** A persistent, frozen matrix whose elements are stored in 16 bits; they are arbitrary. */
export function storedLeaf(
  shape: readonly number[],
  storage: "float16" | "bfloat16",
  engine: Engine,
): Tensor {
  const record = start(engine, Op.Leaf.code, shape, "float32", true);
  const { i32 } = engine;
  i32[(record + Field.storage) >>> 2] = Storage[storage];
  i32[(record + Field.flags) >>> 2]! |= Flag.Packed;
  return finish(engine, record, shape, "float32", true);
}

/** A copy without history; of a packed weight, in rows. */
export function copyOf(source: Tensor): Tensor {
  const { engine } = source;
  const copy = leaf(source.shape, () => {}, { dtype: source.dtype }, engine);
  engine.wasm.copyDense(copy.address, source.address);
  return copy;
}

/** The same values without history; inside a scope the data is shared. Not of a packed weight. */
export function detached(source: Tensor): Tensor {
  return recorded(source.engine, Op.Detach, [source], source.shape, {}, source.dtype);
}
