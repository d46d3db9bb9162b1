// A training step with LoRA beside a full one: forward, backward and AdamW on the common models S and M, with one fixed
// batch. The share is taken on one thread in CPU time; tokens per second are wall time on one thread and on two.
// By arithmetic a LoRA step is 0.80 of a full one on S, and 0.75 on M.

import type { TokenBatch } from "../src/nn/batch.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { scope } from "../src/tensor/scope.ts";
import { commonAdapter, commonBatch, commonModel } from "../test/golden/common-engine.ts";
import { commonAdamW, commonSizes, commonStart } from "../test/golden/common-model.ts";
import type { NamedEngine } from "../test/support/engines.ts";
import { asCount, asRatio, figure } from "./figure.ts";
import { cpuTime, measureRounds } from "./rounds.ts";

/** Rounds, and steps a round: S is some 15 times faster. */
const EFFORT = { S: { rounds: 16, calls: 6 }, M: { rounds: 12, calls: 2 } } as const;

type Size = keyof typeof EFFORT;

/** A step of one of the common models, to be called in a scope or captured, and the batch to call it with. */
export function trainingOf(
  { engine }: NamedEngine,
  name: Size,
  method: "full" | "lora",
): { readonly body: (batch: TokenBatch) => void; readonly batch: TokenBatch } {
  const size = commonSizes[name];
  return engine.run(() => {
    const start = commonStart(size);
    const model = commonModel(size, start);
    if (method === "lora") commonAdapter(model, start);
    const optimizer = new AdamW(model.trainableParameters(), commonAdamW);
    const body = (batch: TokenBatch): void => {
      model.loss(batch).backward();
      optimizer.step();
      optimizer.zeroGrad();
    };
    return { body, batch: commonBatch(size, start) };
  });
}

function stepOf(named: NamedEngine, name: Size, method: "full" | "lora"): () => void {
  const { body, batch } = trainingOf(named, name, method);
  return () => named.engine.run(() => scope(() => body(batch)));
}

/** Prints the share and the speeds of a build. */
export function benchSteps(build: string, one: NamedEngine, two: NamedEngine): void {
  for (const name of ["S", "M"] as const) {
    const effort = EFFORT[name];
    const { batch, length } = commonSizes[name];
    const full = stepOf(one, name, "full");
    const lora = stepOf(one, name, "lora");
    const loraOnTwo = stepOf(two, name, "lora");
    measureRounds([full, lora, loraOnTwo], { rounds: 1, calls: 3 });
    const [fullTimes = [], loraTimes = []] = measureRounds([full, lora], {
      ...effort,
      now: cpuTime,
    });
    const shares = loraTimes.map((time, i) => time / (fullTimes[i] ?? Number.NaN));
    const [single = [], double = []] = measureRounds([lora, loraOnTwo], effort);
    const speed = (times: readonly number[]): string =>
      asCount(figure(times.map((time) => (1000 * batch * length) / time)));
    console.log(
      `  ${build.padEnd(9)} ${name}  LoRA / full ${asRatio(figure(shares))}   ` +
        `tokens per second ${speed(single)}, on two threads ${speed(double)}`,
    );
  }
}
