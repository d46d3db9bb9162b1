// The angles of rotary positions, as many as are used: a config may allow millions of positions, of which a program
// uses a few.

import { Field } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { expectIndices } from "../tensor/indices.ts";
import { expectPositions, ropeTable } from "../tensor/rope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";

/** Positions of the first table, if the model has so many. */
const FIRST = 1024;

/** Tables [length, d/2, 2] of cos and sin, each at least twice as long as the one before. */
export class RotaryTables {
  readonly #config: ModelConfig;
  // What was recorded on a shorter table still reads it: all of them are kept, which is at most twice the memory.
  readonly #tables: Tensor[] = [];

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  /** A table of the positions 0 … length − 1 at least, of which the model has as many. */
  reaching(length: number): Tensor {
    const { maxPositions, headDim, ropeTheta } = this.#config;
    const longest = this.#tables.at(-1);
    if (longest !== undefined && (longest.shape[0] ?? 0) >= length) return longest;
    let size = FIRST;
    while (size < length) size *= 2;
    const table = ropeTable(Math.min(size, maxPositions), headDim, ropeTheta);
    this.#tables.push(table);
    return table;
  }

  /**
   * A table that has all of `positions`, int32 [B, T], also after so many virtual tokens. A captured step is recorded anew when its inputs hold a later one.
   * @throws UsageError for a position that the model does not have
   */
  having(positions: Tensor, virtualTokens = 0): Tensor {
    const { maxPositions } = this.#config;
    const largest = reader(positions);
    const needed = 1 + largest() + virtualTokens;
    if (needed > maxPositions) {
      expectIndices(positions, { op: "rope", name: "position", limit: maxPositions });
    }
    const table = this.reaching(needed);
    recording()?.holds(() => largest() + virtualTokens < (table.shape[0] ?? 0));
    expectPositions(positions, table);
    return table;
  }

  dispose(): void {
    for (const table of this.#tables.splice(0)) table.dispose();
  }
}

/** Gives the largest number of an int32 tensor, as its memory is when asked. */
function reader({ engine, address, size }: Tensor): () => number {
  return () => {
    const at = ((engine.i32[(address + Field.data) >>> 2] ?? 0) >>> 0) / 4;
    let found = -1;
    for (let i = at; i < at + size; i++) found = Math.max(found, engine.i32[i] ?? 0);
    return found;
  };
}
