// What tests of saving share: a small model, adapters on it, and the model in shards.

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Adapter } from "../../src/adapters/adapter.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { init } from "../../src/core/engine.ts";
import { modelFiles } from "../../src/io/model.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { small, tensorsOf } from "./model-fixture.ts";

await init({ deterministic: true, threads: 1 });
/** What all adapters here are for. */
export const model: Transformer = new Transformer(small, normalInitializer(1));
/** An adapter whose alpha is its rank. */
export const adapter = (r: number, seed: number = r): Adapter =>
  injectLora(
    model,
    { r, loraAlpha: r, initLoraWeights: false },
    { adapterName: `r${r}${seed}`, seed },
  );

/** The names in a directory, sorted. */
export const namesIn = (directory: string): string[] => readdirSync(directory).sort();

/** The model in two shards with an index and a vocabulary, as transformers leaves them. */
export function writeShards(directory: string, source: Transformer = model): void {
  const files = modelFiles(source);
  const tensors = [...tensorsOf(files)];
  const map: Record<string, string> = {};
  mkdirSync(directory, { recursive: true });
  for (const part of [0, 1]) {
    const name = `model-0000${part + 1}-of-00002.safetensors`;
    const own = tensors.filter((_, i) => i % 2 === part);
    for (const [tensor] of own) map[tensor] = name;
    writeFileSync(join(directory, name), writeSafetensors(new Map(own)));
  }
  writeFileSync(join(directory, "config.json"), files.get("config.json")!);
  writeFileSync(
    join(directory, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: map }),
  );
  writeFileSync(join(directory, "vocab.json"), "{}");
}
