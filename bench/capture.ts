// What capturing a step saves: the time that a small op takes apart from its arithmetic, called from TypeScript or run
// again as part of a program, forward and backward together; and a training step of the small model S both ways.

import { capture } from "../src/tensor/capture.ts";
import { ones } from "../src/tensor/create.ts";
import { scope } from "../src/tensor/scope.ts";
import type { NamedEngine } from "../test/support/engines.ts";
import { asRatio, figure } from "./figure.ts";
import { measureRounds } from "./rounds.ts";
import { trainingOf } from "./step.ts";

const OPS = 500;

/** A chain of small ops and its gradient, eager and captured. */
function chains({ engine }: NamedEngine): (() => void)[] {
  return engine.run(() => {
    const x = ones([4, 4], { requiresGrad: true });
    const body = (): void => {
      let y = x;
      for (let i = 0; i < OPS; i++) y = y.mul(0.99);
      y.sum().backward();
      x.zeroGrad();
    };
    const step = capture(body);
    return [() => engine.run(() => scope(body)), () => engine.run(() => step())];
  });
}

/** A LoRA step of S, eager and captured. */
function steps(named: NamedEngine): (() => void)[] {
  const { engine } = named;
  const { body, batch } = trainingOf(named, "S", "lora");
  const step = capture(body);
  return [() => engine.run(() => scope(() => body(batch))), () => engine.run(() => step(batch))];
}

/** Prints microseconds of an op and the share of the captured step, for a build. */
export function benchCapture(build: string, one: NamedEngine): void {
  const small = chains(one);
  measureRounds(small, { rounds: 1, calls: 20 });
  const [eager = [], replayed = []] = measureRounds(small, { rounds: 20, calls: 5 });
  const each = (times: readonly number[]): string =>
    asRatio(figure(times.map((time) => (1000 * time) / OPS)));
  const both = steps(one);
  measureRounds(both, { rounds: 1, calls: 3 });
  const [plain = [], captured = []] = measureRounds(both, { rounds: 16, calls: 6 });
  const share = asRatio(figure(captured.map((time, i) => time / (plain[i] ?? Number.NaN))));
  console.log(
    `  ${build.padEnd(9)} a small op with its gradient: ${each(eager)} µs, replayed ${each(replayed)} µs   ` +
      `step of S, captured / eager ${share}`,
  );
}
