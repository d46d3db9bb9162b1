// The cost of one small op with its gradient, eager and replayed.

import type { Engine } from "../../src/core/engine.ts";
import { withEngines } from "../build.ts";
import { CHAIN, chainsIn } from "../chain.ts";
import type { Case, Entry } from "../entry.ts";
import { mapped } from "../figure.ts";
import { race } from "../race.ts";

const CALLS = 50;

function measure(engine: Engine): Entry[] {
  const { eager, replayed } = chainsIn(engine);
  // The front end's code gets better the more often it runs.
  for (let i = 0; i < 2000; i++) eager();
  const run = race(
    [
      { name: "eager", calls: CALLS, run: eager },
      { name: "replayed", calls: CALLS, run: replayed },
    ],
    { rounds: 30, seconds: 6 },
  );
  return (["eager", "replayed"] as const).map((name) => ({
    id: `op-${name}`,
    what: `one small op with its gradient, ${name}`,
    unit: "µs",
    figure: mapped(run.times(name), (milliseconds) => (1000 * milliseconds) / CHAIN),
  }));
}

export const opCase: Case = {
  name: "op",
  ids: ["op-eager", "op-replayed"],
  run: () => withEngines("relaxed", [1], measure),
};
