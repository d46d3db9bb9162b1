// What tests of saved adapters share: the names of the files, and PEFT's own with another configuration.

import { loadModel } from "../../src/io/model.ts";
import type { PretrainedModel } from "../../src/io/pretrained.ts";
import { type Family, fixtureFiles, fixturePath, withFields } from "./peft-fixture.ts";

export const CONFIG = "adapter_config.json";
export const WEIGHTS = "adapter_model.safetensors";

/** Files of an adapter by name. */
export type Files = Record<string, Uint8Array>;

/** The base model of a family. */
export function base(family: Family): Promise<PretrainedModel> {
  return loadModel(fixturePath(family, "base"));
}

/** PEFT's adapter for the Llama, with some fields of its configuration replaced. */
export function withConfig(fields: Record<string, unknown>): Files {
  const files = fixtureFiles("llama", "adapter");
  return { ...files, [CONFIG]: withFields(files[CONFIG]!, fields) };
}
