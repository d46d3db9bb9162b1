// What a second thread gives: the same product on an engine with one thread and on one with two, side by side.
// Wall time, so the machine must have two cores to itself.

import { matmul } from "../src/tensor/matmul.ts";
import { normal } from "../src/tensor/random.ts";
import { noGrad, scope } from "../src/tensor/scope.ts";
import type { NamedEngine } from "../test/support/engines.ts";
import { asRatio, figure } from "./figure.ts";
import { measureRounds } from "./rounds.ts";

const SIZES = [256, 512];
/** Products of a call take some 10 ms, so that waking the threads is part of it as in a training step. */
const OPERATIONS = 3e8;

function product({ engine }: NamedEngine, n: number): () => void {
  const [a, b] = engine.run(() => [1, 2].map((seed) => normal([n, n], { seed })));
  const times = Math.ceil(OPERATIONS / (2 * n ** 3));
  return () => {
    engine.run(() =>
      scope(() =>
        noGrad(() => {
          for (let i = 0; i < times; i++) matmul(a!, b!);
        }),
      ),
    );
  };
}

/** Prints the speed-up of two threads for a build. */
export function benchThreads(build: string, one: NamedEngine, two: NamedEngine): void {
  const cells = SIZES.map((n) => {
    const tasks = [product(one, n), product(two, n)];
    measureRounds(tasks, { rounds: 1, calls: 3 });
    const [single = [], double = []] = measureRounds(tasks, { rounds: 20, calls: 3 });
    return `${n} ${asRatio(figure(single.map((time, i) => time / (double[i] ?? Number.NaN))))}`;
  });
  console.log(`  ${build.padEnd(9)} ${cells.join("   ")}`);
}
