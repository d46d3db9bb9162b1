// Weights that keep the 16 bits of their file: half the memory, and the bits of results are those of the same weights
// widened to float32. The engine widens where it packs (assembly/gemm/stored.ts).

import { current, type Engine } from "../core/engine.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { allOrNothing, storedLeaf } from "./record.ts";
import type { Tensor } from "./tensor.ts";

/** Floating types of 16 bits: IEEE 754 binary16, and the upper half of a float32. */
export type HalfType = "float16" | "bfloat16";

/** Bytes that are laid out at a time. */
const PIECE = 1 << 20;

/** Goes through the rows of a weight in pieces of the engine's memory: `fn(bits, first)` is given whole rows. */
function pieces(
  engine: Engine,
  [rows = 0, width = 0]: readonly number[],
  fn: (address: number, first: number, count: number) => void,
): void {
  const most = Math.max(1, Math.min(rows, Math.floor(PIECE / 2 / Math.max(1, width))));
  const at = engine.wasm.allocate(2 * most * width) >>> 0;
  if (at === 0) engine.outOfMemory("a piece of a weight");
  try {
    for (let first = 0; first < rows; first += most) fn(at, first, Math.min(most, rows - first));
  } finally {
    engine.wasm.release(at);
  }
}

const bitsAt = (engine: Engine, address: number, length: number): Uint16Array =>
  new Uint16Array(engine.i32.buffer, address, length);

/**
 * A persistent, frozen weight [N, K] that is stored in 16 bits. `read` writes the bit patterns of some rows, row-major,
 * and is told the number of the first; it is called for all rows in order.
 * @throws ShapeError unless the shape is that of a matrix, MemoryError when memory cannot grow.
 */
export function storedWeight(
  shape: readonly number[],
  type: HalfType,
  read: (bits: Uint16Array, firstRow: number) => void,
  engine: Engine = current(),
): Tensor {
  if (shape.length !== 2) {
    throw new ShapeError(
      `A weight of shape [${shape}] cannot be stored as ${type}; only matrices [N, K] can.`,
    );
  }
  return allOrNothing(() => {
    const weight = storedLeaf(shape, type, engine);
    const width = shape[1]!;
    pieces(engine, shape, (address, first, count) => {
      read(bitsAt(engine, address, count * width), first);
      engine.wasm.moveStored(weight.address, address, first, count, 0);
    });
    return weight;
  });
}

/** The bit patterns of a weight that is stored in 16 bits, row-major. */
export function storedBits(weight: Tensor): Uint16Array {
  const { engine, shape, storage } = weight;
  if (storage === "float32") {
    throw new UsageError(
      `A tensor of shape [${shape}] is stored as float32; it has no 16-bit form.`,
    );
  }
  const bits = new Uint16Array(weight.size);
  const width = shape[1] ?? 0;
  pieces(engine, shape, (address, first, count) => {
    engine.wasm.moveStored(weight.address, address, first, count, 1);
    bits.set(bitsAt(engine, address, count * width), first * width);
  });
  return bits;
}
