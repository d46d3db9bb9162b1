// The progress of a run: in a terminal one line that is rewritten in place, elsewhere a line every twentieth of the way.

import { clock, small, whole } from "./format.ts";
import { widthOf } from "./style.ts";
import type { Terminal } from "./terminal.ts";

/** Where a run stands. */
export interface Progress {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly lr: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

const REDRAW_MS = 80;
const LINES = 20;

export class ProgressBar {
  readonly #terminal: Terminal;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isOpen = false;
  #lineAt = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(progress: Progress): void {
    const { step, steps } = progress;
    const isLast = step >= steps;
    if (this.#terminal.live) {
      const now = performance.now();
      if (!isLast && now - this.#drawnAt < REDRAW_MS) return;
      this.#drawnAt = now;
      this.#isOpen = true;
      this.#terminal.rewrite(this.#draw(progress));
      return;
    }
    if (!isLast && step < this.#lineAt) return;
    this.#lineAt = step + Math.max(1, Math.floor(steps / LINES));
    this.#terminal.line(
      `  step ${String(step).padStart(String(steps).length)}/${steps}  ${figures(progress)}`,
    );
  }

  /** Leaves the line as it stands; what follows begins a new one. */
  end(): void {
    if (this.#isOpen) this.#terminal.line();
    this.#isOpen = false;
  }

  #draw(progress: Progress): string {
    const { step, steps } = progress;
    const { style, columns } = this.#terminal;
    const count = `${String(step).padStart(String(steps).length)}/${steps}`;
    const text = `${count}  ${figures(progress)}`;
    const width = Math.max(8, columns - widthOf(text) - 4);
    const done = Math.round((step / Math.max(1, steps)) * width);
    const bar = style.accent("━".repeat(done)) + style.dim("─".repeat(width - done));
    return `  ${bar}  ${text}`;
  }
}

function figures({ loss, lr, tokensPerSecond, secondsLeft }: Progress): string {
  return [
    `loss ${loss.toFixed(3)}`,
    `lr ${small(lr)}`,
    `${whole(tokensPerSecond)} tok/s`.padStart(12),
    `${clock(secondsLeft)} left`,
  ].join("  ");
}
