// A program of its own that saves: `saving-child.js kill <adapter|model> <directory> <n>` is killed at the n-th rename
// of a save with overwrite, `saving-child.js often <adapter> <directory> <r>` saves adapters of one rank again and again.

import { injectLora } from "../../src/adapters/lora.ts";
import { init } from "../../src/core/engine.ts";
import { type FileSystem, fileSystem } from "../../src/core/files.ts";
import { saveAdapter } from "../../src/io/adapter.ts";
import { saveModel } from "../../src/io/model.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { small } from "./model-fixture.ts";

const [doing, what, directory = "", number] = process.argv.slice(2);
await init({ deterministic: true, threads: 1 });
const model = new Transformer(small, normalInitializer(2));
const rank = doing === "often" ? Number(number) : 3;
const options = { r: rank, loraAlpha: rank, initLoraWeights: false };
const adapter = what === "adapter" ? injectLora(model, options, { seed: rank }) : null;
const save = (fs?: FileSystem): Promise<void> =>
  adapter === null
    ? saveModel(model, directory, { overwrite: true }, fs)
    : saveAdapter(adapter, directory, { overwrite: true }, fs);

if (doing === "often") {
  for (let i = 0; i < 20; i++) await save();
} else {
  let left = Number(number);
  const real = fileSystem();
  await save({
    ...real,
    renameSync(from, to) {
      if (left-- === 0) process.kill(process.pid, "SIGKILL");
      real.renameSync(from, to);
    },
  });
}
