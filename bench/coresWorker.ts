// The other thread of bench/cores.ts.

import { workerData } from "node:worker_threads";
import { arithmeticRoof, loadCore } from "./build.ts";
import { type CoresData, ROOFS } from "./cores.ts";

const { build, turns } = workerData as CoresData;
const { run } = arithmeticRoof(loadCore(build).kernels);
for (let turn = 1; ; turn++) {
  Atomics.wait(turns, 0, turn - 1);
  if (Atomics.load(turns, 0) < 0) break;
  for (let i = 0; i < ROOFS; i++) run();
  Atomics.store(turns, 1, turn);
  Atomics.notify(turns, 1);
}
