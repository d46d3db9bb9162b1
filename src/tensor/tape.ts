// The tape, to be looked at: what the open scopes have recorded, in order.

import { current, Engine } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { expectInstance } from "../core/kind.ts";
import { Field, Flag, Op, type OpName } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { gradientOf } from "./gradient.ts";

/** A record of the tape, or a tensor that records start from (op "Leaf"). */
export interface TapeEntry {
  readonly op: OpName;
  readonly shape: readonly number[];
  /** The entries that it was made from, by their place in the list. */
  readonly sources: readonly number[];
  readonly requiresGrad: boolean;
  /** Bytes of its values; 0 for a view, which shares those of its source. */
  readonly bytes: number;
  /** How long the op takes to compute its values, as measured now. */
  readonly milliseconds: number;
  /** The 2-norm of its gradient; null when it has none (now): of an op's result, `retainGrad()` keeps it. */
  readonly gradNorm: number | null;
}

const names = new Map<number, OpName>(Object.values(Op).map(({ code, name }) => [code, name]));

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

class Listing {
  readonly entries: TapeEntry[] = [];
  readonly #engine: Engine;
  readonly #places = new Map<number, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  #field(record: number, offset: number): number {
    return (this.#engine.i32[(record + offset) >>> 2] ?? 0) >>> 0;
  }

  #words(record: number, offset: number, count: number): number[] {
    const at = (record + offset) >>> 2;
    return [...this.#engine.i32.subarray(at, at + count)].map((word) => word >>> 0);
  }

  #milliseconds(record: number): number {
    const start = performance.now();
    if (this.#engine.wasm.rerun(record) === 0) this.#engine.outOfMemory("listing the tape");
    return performance.now() - start;
  }

  /** The place of a record in the list; appended with its sources when it is not there yet. */
  place(record: number): number {
    const known = this.#places.get(record);
    if (known !== undefined) return known;
    const code = this.#field(record, Field.op);
    const isView = code === Op.Reshape.code || code === Op.Detach.code;
    const size = this.#field(record, Field.size);
    const sources = this.#words(record, Field.sources, this.#field(record, Field.sourceCount));
    const gradient = gradientOf(this.#engine, record, size);
    const entry: TapeEntry = {
      sources: sources.map((source) => this.place(source)),
      op: names.get(code) ?? "Leaf",
      shape: this.#words(record, Field.dims, this.#field(record, Field.rank)),
      requiresGrad: (this.#field(record, Field.flags) & Flag.RequiresGrad) !== 0,
      bytes: isView ? 0 : size * 4,
      milliseconds: code === Op.Leaf.code ? 0 : this.#milliseconds(record),
      gradNorm: gradient === null ? null : norm(gradient),
    };
    this.#places.set(record, this.entries.length);
    return this.entries.push(entry) - 1;
  }
}

/**
 * What the open scopes have recorded, in order, each op preceded by the leaves that it is the first to use. Every op
 * is run again to measure it, which changes no value.
 * @throws UsageError outside a scope, where nothing is recorded.
 */
export function listTape(engine: Engine = current()): TapeEntry[] {
  expectInstance("What listTape() lists", engine, Engine, "an engine");
  if (engine.scopes.length === 0) {
    throw new UsageError(
      "There is no tape outside of scopes. Call listTape() inside scope(() => { ... }).",
    );
  }
  if (recording() !== null) engine.wasm.flush();
  const records: number[] = [];
  for (let r = engine.wasm.lastRecord() >>> 0; r !== 0; ) {
    records.push(r);
    r = (engine.i32[(r + Field.previous) >>> 2] ?? 0) >>> 0;
  }
  const listing = new Listing(engine);
  for (const record of records.reverse()) listing.place(record);
  return listing.entries;
}
