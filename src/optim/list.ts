// The list of parameters that the engine's optimizers read (assembly/ops/optimizer.ts), laid out in its memory:
//   | count, β1, β2, 1−β1, 1−β2, ε, momentum, nesterov, factor; 64 bytes | slot 0 | slot 1 | ...
//   slot, 40 bytes: | record, m, v, rate, decay, rootCorrection, squares (float64), updated |

import type { Engine } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { Field } from "../core/op.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Words of the list's head that hold float32 values. */
export const Head = {
  beta1: 1,
  beta2: 2,
  rest1: 3,
  rest2: 4,
  eps: 5,
  momentum: 6,
  nesterov: 7,
  factor: 8,
} as const;

/** What an update of one parameter is made with; the meaning is the optimizer's. */
export interface SlotValues {
  readonly rate: number;
  readonly decay: number;
  readonly rootCorrection?: number;
}

const HEAD_WORDS = 16;
const SLOT_WORDS = 10;

function updatedWord(slot: number): number {
  return HEAD_WORDS + slot * SLOT_WORDS + 8;
}

/** Has a backward pass left a gradient for this tensor? Throws ReleasedError when the tensor is gone. */
export function hasGradient(tensor: Tensor): boolean {
  return tensor.engine.i32[(tensor.address + Field.grad) >>> 2] !== 0;
}

/** The engine that all of the tensors live in. */
export function commonEngine(tensors: readonly Tensor[]): Engine | undefined {
  const engine = tensors[0]?.engine;
  if (tensors.some((tensor) => tensor.engine !== engine)) {
    throw new UsageError("The parameters belong to two engines; they must all live in one.");
  }
  return engine;
}

/** A persistent list of parameters; freed by `dispose()`. */
export class ParameterList {
  readonly #engine: Engine;
  #address: number;

  constructor(engine: Engine, tensors: readonly Tensor[]) {
    this.#engine = engine;
    const bytes = 4 * (HEAD_WORDS + tensors.length * SLOT_WORDS);
    this.#address = engine.wasm.allocate(bytes) >>> 0;
    if (this.#address === 0) engine.outOfMemory("an optimizer's list of parameters");
    const i32 = engine.i32;
    const base = this.#address >>> 2;
    i32.fill(0, base, base + (bytes >>> 2));
    i32[base] = tensors.length;
    tensors.forEach((tensor, i) => {
      i32[base + HEAD_WORDS + i * SLOT_WORDS] = tensor.address;
    });
  }

  get disposed(): boolean {
    return this.#address === 0;
  }

  get address(): number {
    return this.#address;
  }

  /** Writes a value of the list's head. */
  setHead(field: Exclude<keyof typeof Head, "nesterov">, value: number): void {
    this.#engine.f32[(this.#address >>> 2) + Head[field]] = value;
  }

  setNesterov(on: boolean): void {
    this.#engine.i32[(this.#address >>> 2) + Head.nesterov] = on ? 1 : 0;
  }

  /** Says where a parameter's moments lie; 0 for none. */
  setMoments(slot: number, m: number, v: number): void {
    const at = (this.#address >>> 2) + HEAD_WORDS + slot * SLOT_WORDS;
    const i32 = this.#engine.i32;
    i32[at + 1] = m;
    i32[at + 2] = v;
  }

  setValues(slot: number, values: SlotValues): void {
    const at = (this.#address >>> 2) + HEAD_WORDS + slot * SLOT_WORDS;
    const f32 = this.#engine.f32;
    f32[at + 3] = values.rate;
    f32[at + 4] = values.decay;
    f32[at + 5] = values.rootCorrection ?? 0;
  }

  /** Says that no update has been made since. */
  clearUpdated(): void {
    const i32 = this.#engine.i32;
    const base = this.#address >>> 2;
    for (let slot = 0; slot < (i32[base] ?? 0); slot++) i32[base + updatedWord(slot)] = 0;
  }

  /** Has the last update changed the parameter? */
  updated(slot: number): boolean {
    return this.#engine.i32[(this.#address >>> 2) + updatedWord(slot)] !== 0;
  }

  dispose(): void {
    if (this.#address !== 0) this.#engine.wasm.release(this.#address);
    this.#address = 0;
  }
}
