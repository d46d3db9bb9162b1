// Some training steps of the common model S, all weights and then an adapter, in a process of their own: prints the build
// and the SHA-256 of everything trained.
//   node wideVectorsProgram.js relaxed|baseline wide|plain

import { createHash } from "node:crypto";
import { Engine } from "../../src/core/engine.ts";
import { commonAdapter, commonBatch, commonStep, drawnModel } from "../golden/common-engine.ts";
import { commonSizes } from "../golden/common-model.ts";

const STEPS = 4;
const [build, how] = process.argv.slice(2);
const engine = await Engine.create({
  deterministic: build === "baseline",
  threads: 2,
  wideVectors: how === "wide",
});
const hash = createHash("sha256");
for (const method of ["full", "lora"]) {
  engine.run(() => {
    const { model, rest } = drawnModel(commonSizes.S);
    if (method === "lora") commonAdapter(model, rest);
    const trained = [...model.trainableParameters()];
    const step = commonStep(model, commonBatch(commonSizes.S, rest));
    for (let i = 0; i < STEPS; i++) step();
    for (const weight of trained) hash.update(weight.toArray());
  });
}
engine.shutdown();
console.log(`${engine.build} ${hash.digest("hex")}`);
