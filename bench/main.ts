// Everything that `npm run bench` measures, in less than three minutes on two idle cores. Figures are the median of
// their rounds with the 10th and 90th percentile; speeds are shares of a roof or ratios, measured side by side.

import { availableParallelism } from "node:os";
import { engines } from "../test/support/engines.ts";
import { benchCapture } from "./capture.ts";
import { benchGemm } from "./gemm.ts";
import { benchPrepack } from "./prepack.ts";
import { benchSteps } from "./step.ts";
import { benchThreads } from "./threads.ts";

console.log(`Node ${process.versions.node}, ${process.arch}, ${availableParallelism()} cores`);
console.log("Figures: median (10th-90th percentile)\n");

console.log("Matrix products on one thread, as shares of the machine's roof");
for (const build of ["baseline", "relaxed"] as const) {
  await benchGemm(build);
}

const [baseline, baselineTwo, relaxed, relaxedTwo] = await engines();
const builds = [
  ["baseline", baseline!, baselineTwo!],
  ["relaxed", relaxed!, relaxedTwo!],
] as const;

console.log("\nTwo threads against one: times as fast");
for (const [build, one, two] of builds) benchThreads(build, one, two);

console.log(
  '\nA layer of 768x768 with LoRA, forward and backward: prepack "both" as a share of "forward"',
);
for (const [build, one] of builds) benchPrepack(build, one);

console.log("\nA captured step beside the same step called anew");
for (const [build, one] of builds) benchCapture(build, one);

console.log(
  "\nTraining steps of the common models S (0.14 million parameters) and M (0.94 million)",
);
for (const [build, one, two] of builds) benchSteps(build, one, two);

for (const [, one, two] of builds) {
  one.engine.shutdown();
  two.engine.shutdown();
}
