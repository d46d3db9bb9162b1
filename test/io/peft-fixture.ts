// The models and adapters in test/fixtures/peft, which PEFT wrote, and what PEFT computes with them.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/io/safetensors.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";

export const families = ["llama", "qwen2", "gpt2"] as const;
export type Family = (typeof families)[number];

const root = new URL("../../../test/fixtures/peft/", import.meta.url);

/** The directory of the base model, of the adapter, or the file of expected values. */
export function fixturePath(family: Family, name = ""): string {
  return fileURLToPath(new URL(`${family}/${name}`, root));
}

export function fixtureBytes(family: Family, name: string): Uint8Array {
  return new Uint8Array(readFileSync(fixturePath(family, name)));
}

/** The files of a model or an adapter by name, to be changed before they are loaded. */
export function fixtureFiles(family: Family, part: "base" | "adapter"): Record<string, Uint8Array> {
  const config = part === "base" ? "config.json" : "adapter_config.json";
  const weights = part === "base" ? "model.safetensors" : "adapter_model.safetensors";
  return {
    [config]: fixtureBytes(family, `${part}/${config}`),
    [weights]: fixtureBytes(family, `${part}/${weights}`),
  };
}

/** The same with the tensors changed. */
export function withTensors(
  family: Family,
  part: "base" | "adapter",
  change: (tensors: Map<string, StoredTensor>) => void,
): Record<string, Uint8Array> {
  const files = fixtureFiles(family, part);
  const weights = part === "base" ? "model.safetensors" : "adapter_model.safetensors";
  const { tensors, metadata } = readSafetensors(files[weights]!, part);
  change(tensors);
  return { ...files, [weights]: writeSafetensors(tensors, metadata) };
}

/** What PEFT computes: logits [2, 7, 32] in float64 and float32, and merged weights by name. */
export interface Expected {
  readonly ids: Int32Array;
  readonly logits: Float64Array;
  readonly baseLogits: Float64Array;
  /** The largest error of PyTorch's own float32, over both sets of logits. */
  readonly float32Error: number;
  readonly merged: ReadonlyMap<string, StoredTensor>;
}

/** The values of one adapter: "adapter" is LoRA's, others are in files of their own. */
export function expectedValues(family: Family, adapter = "adapter"): Expected {
  const { tensors } = readSafetensors(fixtureBytes(family, "expected.safetensors"), "expected");
  if (adapter !== "adapter") {
    for (const name of tensors.keys()) if (name.startsWith("merged.")) tensors.delete(name);
    const own = readSafetensors(fixtureBytes(family, `${adapter}.safetensors`), adapter);
    for (const [name, stored] of own.tensors) tensors.set(name, stored);
  }
  const bytes = (name: string) => tensors.get(name)!.bytes.slice().buffer;
  const values = (name: string) => new Float64Array(bytes(name));
  let float32Error = 0;
  for (const name of ["logits", "base_logits"]) {
    const exact = values(name);
    toFloat32(tensors.get(`${name}32`)!).forEach((value, i) => {
      float32Error = Math.max(float32Error, Math.abs(value - exact[i]!));
    });
  }
  const merged = [...tensors].filter(([name]) => name.startsWith("merged."));
  return {
    ids: Int32Array.from(new BigInt64Array(bytes("input_ids")), Number),
    logits: values("logits"),
    baseLogits: values("base_logits"),
    float32Error,
    merged: new Map(merged.map(([name, stored]) => [name.slice("merged.".length), stored])),
  };
}

/** Logits of ids [rows, ids.length / rows], row-major. */
export function logitsOf(model: Transformer, ids: Int32Array, rows = 2): Float32Array {
  return scope(() =>
    noGrad(() => {
      const input = tensor(ids, { shape: [rows, ids.length / rows] });
      return model.forward(input).toArray() as Float32Array;
    }),
  );
}

/** The error that `action` throws or rejects with; fails when it does neither. */
export async function failure(action: () => unknown): Promise<Error> {
  try {
    await action();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}

/** A JSON file with some members replaced. */
export function withFields(bytes: Uint8Array, fields: Record<string, unknown>): Uint8Array {
  const object: object = JSON.parse(new TextDecoder().decode(bytes));
  return new TextEncoder().encode(JSON.stringify({ ...object, ...fields }));
}
