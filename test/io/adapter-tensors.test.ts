import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { DeclaredTensors } from "../../src/adapters/inject.ts";
import { lora } from "../../src/adapters/lora.ts";
import { FormatError } from "../../src/core/error.ts";
import { matchAdapterTensors, storedName } from "../../src/io/adapter-tensors.ts";
import { fromFloat32, readSafetensors, type StoredTensor } from "../../src/io/safetensors.ts";

const fixtures = new URL("../../../test/fixtures/peft/", import.meta.url);
const tensor = (rows: number, columns: number) =>
  fromFloat32(new Float32Array(rows * columns), [rows, columns]);
/** What LoRA of rank r asks for on a layer of these widths. */
const factors = (r: number, inFeatures: number, outFeatures: number) =>
  new Map([
    ["lora_A.weight", [r, inFeatures]],
    ["lora_B.weight", [outFeatures, r]],
  ]);
const modules: DeclaredTensors = new Map([
  ["h.0.q", factors(2, 4, 6)],
  ["h.1.q", factors(3, 4, 6)],
]);
const good = (): Map<string, StoredTensor> =>
  new Map([
    ["base_model.model.h.0.q.lora_A.weight", tensor(2, 4)],
    ["base_model.model.h.0.q.lora_B.weight", tensor(6, 2)],
    ["base_model.model.h.1.q.lora_A.weight", tensor(3, 4)],
    ["base_model.model.h.1.q.lora_B.weight", tensor(6, 3)],
  ]);

function failure(tensors: Map<string, StoredTensor>): string {
  try {
    matchAdapterTensors(tensors, { declared: modules, method: lora }, "x.safetensors");
  } catch (error) {
    assert.instance(error, FormatError);
    return (error as FormatError).message;
  }
  return assert.unreachable("nothing was refused") as never;
}

test("an adapter that PEFT saved is found whole, under the names that are written here", () => {
  const file = new URL("llama/adapter/adapter_model.safetensors", fixtures);
  const { tensors } = readSafetensors(readFileSync(file), "x");
  // Ranks and widths as the script of the fixtures asks for them.
  const sizes = { q_proj: [16, 16], v_proj: [16, 8], down_proj: [24, 16] } as const;
  const llama = new Map(
    [0, 1].flatMap((layer) =>
      Object.entries(sizes).map(([name, [inFeatures, outFeatures]]) => [
        `model.layers.${layer}.${name === "down_proj" ? "mlp" : "self_attn"}.${name}`,
        factors(layer === 1 && name === "q_proj" ? 2 : 4, inFeatures, outFeatures),
      ]),
    ),
  );
  const { found, warnings } = matchAdapterTensors(tensors, { declared: llama, method: lora }, "x");
  assert.is(found.size, 6);
  assert.equal(warnings, []);
  for (const [path, stored] of found) {
    assert.is(stored.size, 2);
    for (const [key, tensor] of stored) assert.is(tensors.get(storedName(path, key)), tensor);
  }
});

test("names without prefix and names with the adapter's name are read", () => {
  const renamed = (change: (name: string) => string) =>
    new Map([...good()].map(([name, stored]) => [change(name), stored]));
  for (const change of [
    (name: string) => name.replace("base_model.model.", ""),
    (name: string) => name.replace(".weight", ".default.weight"),
  ]) {
    const { found } = matchAdapterTensors(
      renamed(change),
      { declared: modules, method: lora },
      "x",
    );
    assert.equal(
      [...found.values()].map(({ size }) => size),
      [2, 2],
    );
  }
});

test("everything that does not fit is listed at once", () => {
  const tensors = good();
  tensors.delete("base_model.model.h.0.q.lora_B.weight");
  tensors.set("base_model.model.h.1.q.lora_A.weight", tensor(5, 4));
  tensors.set("base_model.model.h.1.q.lora_B.weight", tensor(7, 3));
  tensors.set("base_model.model.h.1.q.lora_magnitude_vector", tensor(6, 1));
  tensors.set("base_model.model.h.9.q.lora_A.weight", tensor(3, 4));
  tensors.set("score.weight", tensor(3, 4));
  const message = failure(tensors);
  for (const part of [
    "h.0.q has no lora_B",
    "h.1.q.lora_A.weight has the shape [5, 4], expected [3, 4]",
    "h.1.q.lora_B.weight has the shape [7, 3], expected [6, 3]",
    'h.1.q.lora_magnitude_vector" belongs to DoRA, but use_dora is not set',
    'h.9.q.lora_A.weight" belongs to no module',
    '"score.weight" is no tensor of a LoRA adapter',
  ]) {
    assert.ok(message.includes(part), `${part}\n${message}`);
  }
});

test("an adapter without a module's tensors, with one twice, or of whole numbers is refused", () => {
  assert.match(failure(new Map()), /h\.0\.q has no lora_A\.weight and lora_B\.weight/);
  const twice = good().set("h.0.q.lora_A.weight", tensor(2, 4));
  assert.match(failure(twice), /"h\.0\.q\.lora_A\.weight" is there twice/);
  const whole: StoredTensor = { dtype: "I32", shape: [2, 4], bytes: new Uint8Array(32) };
  assert.match(failure(good().set("base_model.model.h.0.q.lora_A.weight", whole)), /holds I32/);
});

test("a long list of problems is cut", () => {
  const tensors = good();
  for (let i = 0; i < 100; i++) tensors.set(`x.${i}`, tensor(1, 1));
  assert.match(failure(tensors), /and 80 more/);
});

test("NaN and infinity are a warning that names the tensor", () => {
  const values = Float32Array.of(0, 0, Number.NaN, 0, 0, 0, 0, Number.POSITIVE_INFINITY);
  const tensors = good().set("base_model.model.h.0.q.lora_A.weight", fromFloat32(values, [2, 4]));
  const { warnings } = matchAdapterTensors(
    tensors,
    { declared: modules, method: lora },
    "x.safetensors",
  );
  assert.is(warnings.length, 1);
  assert.match(warnings[0]!, /x\.safetensors: h\.0\.q\.lora_A\.weight holds NaN or infinity/);
});

test.run();
