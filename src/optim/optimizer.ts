// What all optimizers share: groups, steps, moments that are made when a parameter is first stepped, and a state
// that can be saved. The arithmetic is the engine's (assembly/ops/optimizer.ts): one fused pass over all parameters.
//
// A parameter without a gradient is skipped, its moments and its count of steps included.

import type { Engine } from "../core/engine.ts";
import { ReleasedError, UsageError } from "../core/error.ts";
import { expectObject, kindOf } from "../core/kind.ts";
import { recording } from "../core/recording.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { expectNotNegative, type Group } from "./group.ts";
import { commonEngine, hasGradient, ParameterList, type SlotValues } from "./list.ts";

/** The state of a parameter that has been stepped. */
export interface ParameterState {
  /** Steps done. */
  readonly step: number;
  /** AdamW: first and second moment. SGD: the momentum buffer, if it has momentum. As long as the parameter. */
  readonly moments: readonly Float32Array[];
}

/** What the next step depends on besides the settings; plain values, copies. */
export interface OptimizerState {
  readonly optimizer: string;
  /** In the order in which the parameters were given; null for one that has never been stepped. */
  readonly parameters: readonly (ParameterState | null)[];
}

interface Entry {
  readonly parameter: Tensor;
  /** Number of elements, kept for the time when the parameter itself is gone. */
  readonly size: number;
  readonly group: Group;
  /** Addresses of the moments; empty until the first step. */
  moments: readonly number[];
  step: number;
}

/** What all optimizers offer: steps, groups and a state that can be saved. */
export abstract class Optimizer {
  /** The groups; `lr` and `weightDecay` of each may be changed between steps. */
  readonly paramGroups: readonly Group[];
  protected readonly engine: Engine;
  protected readonly list: ParameterList;
  readonly #name: string;
  readonly #momentCount: number;
  readonly #entries: readonly Entry[];
  #factor = 1;

  protected constructor(name: string, groups: readonly Group[], momentCount: number) {
    this.#name = name;
    this.#momentCount = momentCount;
    this.paramGroups = groups;
    this.#entries = groups.flatMap((group) =>
      group.params.map((parameter) => ({
        parameter,
        size: parameter.size,
        group,
        moments: [],
        step: 0,
      })),
    );
    const parameters = this.#entries.map(({ parameter }) => parameter);
    const engine = commonEngine(parameters);
    if (engine === undefined) throw new UsageError(`${name} got no parameters.`);
    this.engine = engine;
    this.list = new ParameterList(engine, parameters);
  }

  /** The values of one parameter's update: `lr` with the schedule's factor in it, `step` from 1. */
  protected abstract slotValues(lr: number, weightDecay: number, step: number): SlotValues;

  /** Runs the engine's update of the whole list. */
  protected abstract update(list: number): void;

  /** The rate of every group is its `lr` times this factor, from the next step on. It starts at 1. */
  setScheduleFactor(factor: number): void {
    this.#factor = expectNotNegative("The schedule's factor", factor);
  }

  /**
   * Updates every parameter that has a gradient, in place. In a captured step, each replay goes one step on with the
   * rates of that time; one `step()` of an optimizer is allowed there.
   * @throws ReleasedError when a parameter is gone, MemoryError when moments cannot be made; no parameter has changed then.
   */
  step(): void {
    this.#expectAlive();
    const stepped = this.#entries.map(({ parameter }) => hasGradient(parameter));
    const before = (): void => {
      this.list.clearUpdated();
      this.#entries.forEach((entry, slot) => {
        if (stepped[slot]) this.#prepare(entry, slot);
      });
    };
    const after = (): void => {
      this.#entries.forEach((entry, slot) => {
        if (this.list.updated(slot)) entry.step += 1;
      });
    };
    const step = recording();
    step?.depends(() => this.list.disposed);
    step?.depends(() =>
      this.#entries.some(({ parameter }, i) => !stepped[i] && hasGradient(parameter)),
    );
    if (!stepped.includes(true)) return;
    step?.around(this, { before, after });
    before();
    this.update(this.list.address);
    after();
  }

  /** Sees to it that a parameter has moments, and writes the values of its next update. */
  #prepare(entry: Entry, slot: number): void {
    this.#makeMoments(entry, slot);
    const { lr, weightDecay } = entry.group;
    this.list.setValues(slot, this.slotValues(lr * this.#factor, weightDecay, entry.step + 1));
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const { parameter } of this.#entries) parameter.zeroGrad();
  }

  /** A copy of the state. With it, an optimizer made alike goes on to the same bits. */
  stateDict(): OptimizerState {
    this.#expectAlive();
    const { f32 } = this.engine;
    return {
      optimizer: this.#name,
      parameters: this.#entries.map(({ step, size, moments }) => {
        if (step === 0) return null;
        return { step, moments: moments.map((at) => f32.slice(at >>> 2, (at >>> 2) + size)) };
      }),
    };
  }

  /**
   * Takes over a state; settings (rates, decay, betas) stay those of this optimizer.
   * @throws UsageError when the state is not one of these parameters; nothing has changed then.
   */
  loadStateDict(state: OptimizerState): void {
    this.#expectAlive();
    this.#expectFits(state);
    this.#entries.forEach((entry, slot) => {
      if (state.parameters[slot]) this.#makeMoments(entry, slot);
    });
    this.#entries.forEach((entry, slot) => {
      const from = state.parameters[slot] ?? null;
      entry.step = from?.step ?? 0;
      if (from === null && entry.moments.length > 0) {
        this.#freeMoments(entry);
        this.list.setMoments(slot, 0, 0);
      }
      const { f32 } = this.engine;
      entry.moments.forEach((at, i) => {
        f32.set(from?.moments[i] ?? [], at >>> 2);
      });
    });
  }

  #expectAlive(): void {
    this.engine.expectOpen();
    if (!this.list.disposed) return;
    throw new ReleasedError(`This ${this.#name} was used after its dispose(). Make a new one.`);
  }

  #expectFits(state: OptimizerState): void {
    expectObject("The state of an optimizer", state, "what stateDict() gave");
    const { optimizer, parameters } = state;
    if (!Array.isArray(parameters)) {
      throw new UsageError(
        `The state's parameters are ${kindOf(parameters)}; expected those that stateDict() gave.`,
      );
    }
    if (optimizer !== this.#name) {
      throw new UsageError(
        `The state is one of ${typeof optimizer === "string" ? optimizer : kindOf(optimizer)}; this optimizer is ${this.#name}.`,
      );
    }
    if (parameters.length !== this.#entries.length) {
      throw new UsageError(
        `The state is one of ${parameters.length} parameters; this optimizer has ${this.#entries.length}.`,
      );
    }
    this.#entries.forEach(({ size, parameter }, i) => {
      const saved = parameters[i] ?? null;
      if (saved === null) return;
      const given: unknown = saved.moments;
      const sizes = Array.isArray(given) ? given.map((moment) => moment?.length) : [];
      if (
        sizes.length !== this.#momentCount ||
        sizes.some((length) => length !== size) ||
        !Number.isSafeInteger(saved.step) ||
        saved.step < 1
      ) {
        throw new UsageError(
          `The state of parameter ${i} has ${kindOf(saved.step)} steps and moments of [${sizes.map(kindOf)}] values; ` +
            `a parameter of shape [${parameter.shape}] needs at least 1 step and ${this.#momentCount} moments of ${size} values.`,
        );
      }
    });
  }

  #makeMoments(entry: Entry, slot: number): void {
    if (entry.moments.length === this.#momentCount) return;
    const { wasm } = this.engine;
    const made: number[] = [];
    while (made.length < this.#momentCount) {
      const at = wasm.allocateMoment(entry.size) >>> 0;
      if (at === 0) {
        for (const moment of made) wasm.releaseMoment(moment, entry.size);
        this.engine.outOfMemory("an optimizer's moments");
      }
      made.push(at);
    }
    entry.moments = made;
    this.list.setMoments(slot, made[0] ?? 0, made[1] ?? 0);
  }

  #freeMoments(entry: Entry): void {
    for (const at of entry.moments) this.engine.wasm.releaseMoment(at, entry.size);
    entry.moments = [];
  }

  /** Frees the moments; parameters and gradients stay. */
  dispose(): void {
    if (this.list.disposed) return;
    for (const entry of this.#entries) this.#freeMoments(entry);
    this.list.dispose();
  }
}
