// Which adapters of a model take part, and which are merged: kept here and nowhere else.

import { structureChanged } from "../core/recording.ts";

/** The names of active and of merged adapters. */
export class AdapterState {
  #active: readonly string[] = [];
  #merged: readonly string[] = [];

  /** Adapters that take part in the forward pass, merged ones included. */
  get active(): readonly string[] {
    return this.#active;
  }

  /** Adapters that are merged into the weights. */
  get merged(): readonly string[] {
    return this.#merged;
  }

  /** Adapters that take part beside the weights: they train. */
  get apart(): readonly string[] {
    return this.#active.filter((name) => !this.#merged.includes(name));
  }

  set(active: readonly string[], merged: readonly string[]): void {
    structureChanged();
    this.#active = [...new Set(active)];
    this.#merged = [...merged];
  }
}
