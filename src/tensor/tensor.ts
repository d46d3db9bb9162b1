// The tensor of the front end: a shape and the address of a record in the engine's memory. Inside a `scope` it
// lives in the tape arena until the scope closes; outside it lives until `dispose()`.
//
// The methods are the functions of this folder's other files under PyTorch's names, so that `x.matmul(w).relu()`
// and `relu(matmul(x, w))` are the same program.

import type { Engine, Lifetime } from "../core/engine.ts";
import { ReleasedError, ShapeError, UsageError } from "../core/error.ts";
import { expectBoolean, isNumberList, wrongKind } from "../core/kind.ts";
import { Field, Flag, Op, Storage } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import * as activation from "./activation.ts";
import { apply } from "./apply.ts";
import { expectDifferentiable, expectNotCaptured } from "./check.ts";
import * as elementwise from "./elementwise.ts";
import { gradientOf } from "./gradient.ts";
import { matmul } from "./matmul.ts";
import { type PackOptions, type Prepack, pack, setPacked } from "./pack.ts";
import { copyOf } from "./record.ts";
import * as reduce from "./reduce.ts";
import * as shapes from "./shape.ts";
import { logSoftmax, softmax } from "./softmax.ts";

/** Types of a tensor's elements: numbers to compute with, and indices. */
export type DType = "float32" | "int32";

/** Numbers of a tensor, row-major. */
export type Values = Float32Array | Int32Array;

/** A dense, row-major array of up to 6 axes in the engine's memory, with an optional gradient. */
export class Tensor {
  readonly engine: Engine;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Why `set` refuses to write; null where it does not. */
  readOnly: string | null = null;
  readonly #address: number;
  readonly #lifetime: Lifetime;
  readonly #persistent: boolean;

  /** Made by the functions of `create.ts` and `apply.ts`. */
  constructor(
    engine: Engine,
    address: number,
    shape: readonly number[],
    dtype: DType,
    scope: Lifetime | null,
  ) {
    this.engine = engine;
    this.shape = shape;
    this.dtype = dtype;
    this.#address = address;
    this.#persistent = scope === null;
    this.#lifetime = scope ?? { alive: true };
  }

  /** Address of the tensor's record; throws ReleasedError once the tensor is gone. */
  get address(): number {
    if (!this.#lifetime.alive) {
      const { over } = this.#lifetime;
      if (over !== undefined) {
        throw new ReleasedError(`A tensor of shape [${this.shape}] was used after ${over}.`);
      }
      throw new ReleasedError(
        `A tensor of shape [${this.shape}] was used after ${
          this.#persistent ? "its dispose()" : "the scope that made it had closed"
        }. ${
          this.#persistent
            ? "Keep it until it is no longer needed."
            : "Return it from the scope's function, or read it with item() or toArray() inside."
        }`,
      );
    }
    return this.#address;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return this.engine.i32[(this.address + Field.size) >>> 2] ?? 0;
  }

  /** True outside of scopes and for parameters: the tensor lives until `dispose()`. */
  get persistent(): boolean {
    return this.#persistent;
  }

  /** True for a frozen weight that lies as packed panels. */
  get packed(): boolean {
    return this.#hasFlag(Flag.Packed);
  }

  /** How the elements are stored: a frozen weight may keep the 16 bits of its file. All compute in float32. */
  get storage(): keyof typeof Storage {
    const code = this.#field(Field.storage);
    if (code === Storage.float32) return "float32";
    return code === Storage.float16 ? "float16" : "bfloat16";
  }

  /** The packed forms that are kept of a frozen weight; null for a tensor in rows. */
  get prepack(): Prepack | null {
    if (!this.packed) return null;
    return this.#field(Field.packedT) === 0 ? "forward" : "both";
  }

  /** True in a captured step for what a module made on the way to its result, once a backward pass is over. */
  get isGone(): boolean {
    return this.#hasFlag(Flag.Reused);
  }

  /** True for what a captured step gave. */
  get isResult(): boolean {
    return this.#lifetime.ofStep === true;
  }

  /** Does it live and die with that scope? */
  belongsTo(scope: Lifetime): boolean {
    return this.#lifetime === scope;
  }

  get requiresGrad(): boolean {
    if (this.#persistent && recording() !== null) {
      // A captured step may go another way for it.
      const flags = (this.address + Field.flags) >>> 2;
      this.engine.i32[flags]! |= Flag.Captured;
    }
    return this.#hasFlag(Flag.RequiresGrad);
  }

  /** Only for leaves: tensors that no op has made. */
  set requiresGrad(value: boolean) {
    expectBoolean("requiresGrad", value);
    if (value === this.requiresGrad) return;
    expectNotCaptured(this, "frozen or unfrozen");
    if (!this.#persistent) {
      throw new UsageError(
        "requiresGrad can be set on persistent tensors only. Make the tensor outside of scopes, or with { requiresGrad: true }.",
      );
    }
    if (value && this.dtype !== "float32") {
      throw new UsageError("A tensor of int32 cannot have a gradient; use float32.");
    }
    this.engine.noteChange(this.address);
    if (value && this.packed) this.unpack();
    if (!value) this.engine.wasm.dropGradient(this.address);
    const flags = (this.address + Field.flags) >>> 2;
    const i32 = this.engine.i32;
    i32[flags] = (i32[flags] ?? 0) ^ Flag.RequiresGrad;
  }

  #hasFlag(flag: number): boolean {
    return ((this.engine.i32[(this.address + Field.flags) >>> 2] ?? 0) & flag) !== 0;
  }

  #field(offset: number): number {
    return (this.engine.i32[(this.address + offset) >>> 2] ?? 0) >>> 0;
  }

  #view(address: number): Values {
    const memory = this.dtype === "float32" ? this.engine.f32 : this.engine.i32;
    return memory.subarray(address >>> 2, (address >>> 2) + this.size);
  }

  /** A copy of the values, row-major. */
  toArray(): Values {
    expectNotCaptured(this, "read");
    if (!this.packed) return this.#view(this.#field(Field.data)).slice();
    const dense = copyOf(this);
    const values = dense.toArray();
    if (dense.persistent) dense.dispose();
    return values;
  }

  /** The value of a tensor of one element. */
  item(): number {
    expectNotCaptured(this, "read");
    if (this.size !== 1) {
      throw new ShapeError(
        `item() needs a tensor of one element, but the shape is [${this.shape}]. Use toArray(), or reduce it first.`,
      );
    }
    return this.#view(this.#field(Field.data))[0] ?? Number.NaN;
  }

  /** Overwrites the values in place, row-major. */
  set(values: ArrayLike<number>): void {
    expectNotCaptured(this, "written");
    if (this.readOnly !== null) throw new UsageError(this.readOnly);
    if (!isNumberList(values)) throw wrongKind("What set() writes", values, "an array of numbers");
    if (values.length !== this.size) {
      throw new ShapeError(
        `set() got ${values.length} values for a tensor of shape [${this.shape}], which holds ${this.size}.`,
      );
    }
    if (this.packed) setPacked(this, values);
    else this.#view(this.#field(Field.data)).set(values);
  }

  /** A copy of the gradient, row-major; null until a backward pass has reached this tensor, and after `zeroGrad`. */
  get grad(): Float32Array | null {
    expectNotCaptured(this, "read");
    return gradientOf(this.engine, this.address, this.size)?.slice() ?? null;
  }

  /** Drops the gradient. */
  zeroGrad(): void {
    if (!this.#persistent) expectNotCaptured(this, "written");
    this.engine.wasm.dropGradient(this.address);
  }

  /** Asks that the gradient of this intermediate tensor outlive `backward`, in the scope that made it; passes add up. */
  retainGrad(): void {
    const done = this.engine.wasm.retainGradient(this.address);
    if (done === 0) this.engine.outOfMemory("a gradient");
    if (done < 0) {
      throw new UsageError(
        `retainGrad() came in an inner scope, for a tensor of shape [${this.shape}]. Call it in the scope that made the tensor.`,
      );
    }
  }

  /**
   * Adds the gradients of this one-element tensor to `grad` of every leaf that requires them.
   * @throws UsageError outside a scope, or when nothing that requires a gradient led here.
   */
  backward(): void {
    expectDifferentiable(this);
    if (this.engine.wasm.backward(this.address) !== 0) return;
    if (this.engine.wasm.failedBytes() !== 0) this.engine.outOfMemory("backward()");
    throw new UsageError(
      "backward() came a second time to what a module or recompute() had made in a captured step: its memory has been given to others. " +
        "Add the losses and call backward() once, or step in a scope.",
    );
  }

  /** The same values, cut off from the tape. */
  detach(): Tensor {
    return apply(Op.Detach, [this], this.shape, {}, this.dtype);
  }

  /** A copy; of a packed weight, in rows. */
  clone(): Tensor {
    return copyOf(this);
  }

  /**
   * Lays a frozen [N, K] weight out as the panels that linear layers read; values do not change. Inside a scope its rows
   * are freed when the outermost scope closes: what was made from them still reads them.
   */
  pack(options: PackOptions = {}): void {
    pack(this, options);
  }

  /** Lays a packed weight out in rows again; one that is stored in 16 bits becomes float32. */
  unpack(): void {
    if (!this.packed) return;
    this.engine.noteChange(this.address);
    if (this.storage === "float32") this.engine.wasm.unpack(this.address);
    else if (this.engine.wasm.widen(this.address) === 0) this.engine.outOfMemory("a wider weight");
  }

  /** Releases a persistent tensor; inside a scope its memory is freed when the outermost scope closes. */
  dispose(): void {
    if (!this.#persistent) {
      throw new UsageError(
        "A tensor of a scope is freed by its scope; dispose() is for persistent ones.",
      );
    }
    if (!this.#lifetime.alive) return;
    this.engine.dispose(this.#address);
    this.#lifetime.alive = false;
  }

  add(other: Tensor | number): Tensor {
    return elementwise.add(this, other);
  }
  sub(other: Tensor | number): Tensor {
    return elementwise.sub(this, other);
  }
  mul(other: Tensor | number): Tensor {
    return elementwise.mul(this, other);
  }
  div(other: Tensor | number): Tensor {
    return elementwise.div(this, other);
  }
  neg(): Tensor {
    return activation.neg(this);
  }
  exp(): Tensor {
    return activation.exp(this);
  }
  log(): Tensor {
    return activation.log(this);
  }
  sqrt(): Tensor {
    return activation.sqrt(this);
  }
  tanh(): Tensor {
    return activation.tanh(this);
  }
  sigmoid(): Tensor {
    return activation.sigmoid(this);
  }
  relu(): Tensor {
    return activation.relu(this);
  }
  matmul(other: Tensor): Tensor {
    return matmul(this, other);
  }
  sum(options?: reduce.ReduceOptions): Tensor {
    return reduce.sum(this, options);
  }
  mean(options?: reduce.ReduceOptions): Tensor {
    return reduce.mean(this, options);
  }
  max(options?: reduce.ReduceOptions): Tensor {
    return reduce.max(this, options);
  }
  softmax(axis?: number): Tensor {
    return softmax(this, axis);
  }
  logSoftmax(axis?: number): Tensor {
    return logSoftmax(this, axis);
  }
  reshape(shape: readonly number[]): Tensor {
    return shapes.reshape(this, shape);
  }
  transpose(axis0: number, axis1: number): Tensor {
    return shapes.transpose(this, axis0, axis1);
  }
  permute(axes: readonly number[]): Tensor {
    return shapes.permute(this, axes);
  }
  slice(axis: number, start: number, end?: number): Tensor {
    return shapes.slice(this, axis, start, end);
  }
}
