// What it is worth to pack a frozen weight for dX = dY·W as well: forward and backward of one layer with LoRA, for few
// rows of x, where packing W takes as long as multiplying by it, and for many.

import { linear } from "../src/tensor/linear.ts";
import type { Prepack } from "../src/tensor/pack.ts";
import { normal } from "../src/tensor/random.ts";
import { scope } from "../src/tensor/scope.ts";
import type { NamedEngine } from "../test/support/engines.ts";
import { asRatio, figure } from "./figure.ts";
import { measureRounds } from "./rounds.ts";

const WIDTH = 768;
const RANK = 8;
const ROWS = [1, 4, 16, 128];

function passOf({ engine }: NamedEngine, rows: number, prepack: Prepack): () => void {
  return engine.run(() => {
    const made = (shape: readonly number[], seed: number) =>
      normal(shape, { seed, requiresGrad: true });
    const [x, a, b] = [made([rows, WIDTH], 1), made([RANK, WIDTH], 2), made([WIDTH, RANK], 3)];
    const w = normal([WIDTH, WIDTH], { seed: 4 });
    w.pack({ prepack });
    return () =>
      engine.run(() => scope(() => linear(x, w, null, { a, b, scale: 1 }).sum().backward()));
  });
}

/** Prints the time of a pass with "both" as a share of that with "forward", for a build. */
export function benchPrepack(build: string, one: NamedEngine): void {
  const cells = ROWS.map((rows) => {
    const tasks = [passOf(one, rows, "forward"), passOf(one, rows, "both")];
    const effort = { rounds: 10, calls: Math.ceil(64 / rows) + 4 };
    measureRounds(tasks, { ...effort, rounds: 1 });
    const [forward = [], both = []] = measureRounds(tasks, effort);
    return `${rows} ${asRatio(figure(both.map((time, i) => time / (forward[i] ?? Number.NaN))))}`;
  });
  console.log(`  ${build.padEnd(9)} rows ${cells.join("   ")}`);
}
