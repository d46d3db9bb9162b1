// What other people's files hold beside what they must: loaded with a remark, and refused where it means something.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { FormatError } from "../../src/core/error.ts";
import { loadAdapter } from "../../src/io/adapter.ts";
import { loadModel } from "../../src/io/model.ts";
import { fromFloat32, type StoredTensor, toFloat32 } from "../../src/io/safetensors.ts";
import { base, CONFIG, withConfig } from "./adapter-fixture.ts";
import {
  expectedValues,
  type Family,
  failure,
  fixturePath,
  logitsOf,
  withFields,
  withTensors,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });

const PEFT = "base_model.model.";
type Tensors = Map<string, StoredTensor>;

/** Logits with the adapter of the fixtures after a change of its tensors, and its remarks. */
async function withAdapter(
  family: Family,
  change: (tensors: Tensors) => void,
): Promise<{ logits: Float32Array; warnings: readonly string[] }> {
  const model = await base(family);
  try {
    const adapter = await loadAdapter(model, withTensors(family, "adapter", change));
    return { logits: logitsOf(model, expectedValues(family).ids), warnings: adapter.warnings };
  } finally {
    model.dispose();
  }
}

const renamed =
  (rename: (name: string) => string) =>
  (tensors: Tensors): void => {
    const all = [...tensors];
    tensors.clear();
    for (const [name, stored] of all) tensors.set(rename(name), stored);
  };

/** The tensors of a base. */
function baseOf(family: Family): Tensors {
  let found: Tensors = new Map();
  withTensors(family, "base", (tensors) => {
    found = new Map(tensors);
  });
  return found;
}

test("names with the parts of wrappers are read, with a remark", async () => {
  const { logits } = await withAdapter("llama", () => {});
  const bare = (name: string): string => name.slice(PEFT.length);
  for (const [what, rename, isRemarked] of [
    ["_orig_mod.", (name: string) => `_orig_mod.${name}`, true],
    ["_orig_mod. inside", (name: string) => `${PEFT}_orig_mod.${bare(name)}`, true],
    ["a compiled block", (name: string) => name.replace(/(layers\.\d+)\./, "$1._orig_mod."), true],
    ["module.", (name: string) => `module.${name}`, true],
    ["PEFT twice", (name: string) => PEFT + name, true],
    ["all of them", (name: string) => `module._orig_mod.${PEFT}${name}`, true],
    ["the adapter's name", (name: string) => name.replace(".weight", ".my-run.weight"), false],
    ["no prefix", bare, false],
  ] as const) {
    const found = await withAdapter("llama", renamed(rename));
    assert.equal(found.logits, logits, what);
    assert.is(found.warnings.length > 0, isRemarked, what);
    if (isRemarked) assert.match(found.warnings[0]!, /wrapper around the model put there/);
  }
});

test("a model's names with the parts of wrappers are read, with a remark", async () => {
  for (const family of ["llama", "gpt2"] as const) {
    const { ids } = expectedValues(family);
    const expected = logitsOf(await base(family), ids);
    for (const rename of [
      (name: string) => `_orig_mod.${name}`,
      (name: string) => `module.${name}`,
      (name: string) => name.replace(/\.(\d+)\./, ".$1._orig_mod."),
      (name: string) => `${PEFT}${name}`,
    ]) {
      const model = await loadModel(withTensors(family, "base", renamed(rename)));
      assert.equal(logitsOf(model, ids), expected);
      assert.is(model.warnings.filter((text) => /wrapper around the model/.test(text)).length, 1);
      model.dispose();
    }
  }
  const twice = withTensors("llama", "base", (tensors) => {
    tensors.set("_orig_mod.model.norm.weight", tensors.get("model.norm.weight")!);
  });
  const error = await failure(() => loadModel(twice));
  assert.match(error.message, /model\.norm\.weight" is there twice/);
});

test("weights of the base beside an adapter must be the model's", async () => {
  for (const family of ["llama", "gpt2"] as const) {
    const tensors = baseOf(family);
    const { logits } = await withAdapter(family, () => {});
    const matrix =
      family === "gpt2" ? "transformer.h.0.attn.c_attn" : "model.layers.0.self_attn.q_proj";
    const names = [matrix, family === "gpt2" ? "transformer.wte" : "model.embed_tokens"];
    for (const path of names) {
      const weight = tensors.get(`${path}.weight`)!;
      const values = toFloat32(weight);
      const half = fromFloat32(values, weight.shape, "BF16");
      for (const [name, stored] of [
        [`${PEFT}${path}.base_layer.weight`, weight],
        [`${PEFT}${path}.weight`, weight],
        [`${PEFT}${path}.base_layer.weight`, half],
      ] as const) {
        const found = await withAdapter(family, (all) => all.set(name, stored));
        assert.equal(found.logits, logits);
        assert.match(found.warnings[0]!, `"${name}" is the model's own ${path}.weight`);
      }
      const other = values.map((value, i) => (i === 5 ? value + 0.5 : value));
      for (const stored of [
        fromFloat32(other, weight.shape),
        fromFloat32(values, [values.length, 1]),
      ]) {
        const name = `${PEFT}${path}.base_layer.weight`;
        const error = await failure(() => withAdapter(family, (all) => all.set(name, stored)));
        assert.instance(error, FormatError);
        assert.match(error.message, `differs from the model's ${path}.weight`);
        assert.match(error.message, /a base weight of its own, which is not supported/);
      }
    }
  }
});

test("the head's weight beside an adapter on a tied model is the embedding", async () => {
  const model = await base("llama");
  const { tieWordEmbeddings } = model.config;
  model.dispose();
  const tensors = baseOf("llama");
  const head = tensors.get(tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight")!;
  const name = `${PEFT}lm_head.base_layer.weight`;
  const { warnings } = await withAdapter("llama", (all) => all.set(name, head));
  assert.match(warnings[0]!, /is the model's own lm_head\.weight/);
});

test("tied weights under the head's name alone are both", async () => {
  for (const [family, tokens] of [
    ["gpt2", "transformer.wte.weight"],
    ["qwen2", "model.embed_tokens.weight"],
  ] as const) {
    const files = withTensors(family, "base", (tensors) => {
      const weight = tensors.get(tokens)!;
      tensors.delete(tokens);
      tensors.set("lm_head.weight", weight);
    });
    const tied = {
      ...files,
      "config.json": withFields(files["config.json"]!, { tie_word_embeddings: true }),
    };
    const model = await loadModel(tied);
    const whole = withTensors(family, "base", (tensors) => tensors.delete("lm_head.weight"));
    const other = await loadModel({ ...whole, "config.json": tied["config.json"]! });
    const { ids } = expectedValues(family);
    assert.equal(logitsOf(model, ids), logitsOf(other, ids));
    assert.ok(model.warnings.some((text) => text.includes(`${tokens} is missing; lm_head.weight`)));
    for (const one of [model, other]) one.dispose();
    const untied = {
      ...files,
      "config.json": withFields(files["config.json"]!, { tie_word_embeddings: false }),
    };
    assert.match((await failure(() => loadModel(untied))).message, `${tokens} [32, 16] is missing`);
  }
});

test('bias "all" or "lora_only" means nothing where there are no biases, and is refused where there are', async () => {
  const { logits } = await withAdapter("llama", () => {});
  for (const bias of ["all", "lora_only"]) {
    const model = await base("llama");
    const adapter = await loadAdapter(model, withConfig({ bias }));
    assert.equal(logitsOf(model, expectedValues("llama").ids), logits);
    assert.match(adapter.warnings[0]!, `"bias" is "${bias}"`);
    model.dispose();
  }
  const model = await base("llama");
  const files = withTensors("llama", "adapter", (tensors) => {
    const name = `${PEFT}model.layers.0.self_attn.q_proj.base_layer.bias`;
    tensors.set(name, fromFloat32(new Float32Array(16), [16]));
  });
  files[CONFIG] = withFields(files[CONFIG]!, { bias: "all" });
  assert.match(
    (await failure(() => loadAdapter(model, files))).message,
    /is a bias that was trained/,
  );
  model.dispose();
});

test("a rank above the smaller side of a weight loads, and computes B·A all the same", async () => {
  const model = await base("llama");
  const { ids } = expectedValues("llama");
  // v_proj is [8, 16]: 9 is above the smaller side.
  const draw = (rows: number, columns: number) =>
    fromFloat32(
      Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7919) % 101) / 101 - 0.5),
      [rows, columns],
    );
  const files = withTensors("llama", "adapter", (tensors) => {
    tensors.clear();
    for (const layer of [0, 1]) {
      const path = `${PEFT}model.layers.${layer}.self_attn.v_proj`;
      tensors.set(`${path}.lora_A.weight`, draw(9, 16));
      tensors.set(`${path}.lora_B.weight`, draw(8, 9));
    }
  });
  const fields = { r: 9, target_modules: ["v_proj"], rank_pattern: {}, alpha_pattern: {} };
  files[CONFIG] = withFields(files[CONFIG]!, fields);
  const adapter = await loadAdapter(model, files);
  assert.match(adapter.warnings[0]!, /v_proj \[8, 16\] and 1 more is above the smaller side/);
  const active = logitsOf(model, ids);
  adapter.merge();
  const merged = logitsOf(model, ids);
  const largest = active.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  active.forEach((value, i) => {
    assert.ok(Math.abs(value - merged[i]!) < 1e-5 * largest);
  });
  adapter.unmerge();
  assert.equal(logitsOf(model, ids), active);
  adapter.disable();
  assert.not.equal(logitsOf(model, ids), active);
  model.dispose();
});

test("the fixtures themselves load without a remark", async () => {
  for (const family of ["llama", "qwen2", "gpt2"] as const) {
    const model = await loadModel(fixturePath(family, "base"));
    assert.equal(
      model.warnings.filter((text) => /wrapper|missing/.test(text)),
      [],
    );
    model.dispose();
  }
});

test.run();
