// The one error of a step that is the run's own fault.

import { LowrankError } from "../core/error.ts";

/** A loss, a gradient or a weight that training has made is infinite or NaN. Any other error of a step has another name. */
export class DivergenceError extends LowrankError {
  override name = "DivergenceError";
  /** The step in which it was found, from 1. */
  readonly step: number;

  constructor(step: number, message: string) {
    super(`Training stopped at step ${step}: ${message}`);
    this.step = step;
  }
}
