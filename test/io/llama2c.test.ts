import { existsSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { readLlama2c } from "../../src/io/llama2c.ts";
import { toFloat32 } from "../../src/io/safetensors.ts";

// dim 4, hidden 6, 2 layers, 2 heads, 1 key-value head, vocabulary 3, 5 positions.
function checkpoint({ tied = true } = {}): Uint8Array<ArrayBuffer> {
  const sizes = [12, 8, 32, 16, 16, 32, 8, 48, 48, 48, 4, 10, ...(tied ? [] : [12])];
  const count = sizes.reduce((sum, size) => sum + size);
  const bytes = new Uint8Array(28 + 4 * count);
  new Int32Array(bytes.buffer, 0, 7).set([4, 6, 2, 2, 1, tied ? 3 : -3, 5]);
  new Float32Array(bytes.buffer, 28).set(Float32Array.from({ length: count }, (_, i) => i));
  return bytes;
}

test("tensors lie one after the other, each kind for all layers", () => {
  const { config, tensors } = readLlama2c(checkpoint(), "x.bin");
  assert.equal([config.headDim, config.kvHeads, config.tieWordEmbeddings], [2, 1, true]);
  const first = (name: string) => [toFloat32(tensors.get(name)!)[0], ...tensors.get(name)!.shape];
  assert.equal(first("model.embed_tokens.weight"), [0, 3, 4]);
  assert.equal(first("model.layers.1.input_layernorm.weight"), [16, 4]);
  assert.equal(first("model.layers.0.self_attn.q_proj.weight"), [20, 4, 4]);
  assert.equal(first("model.layers.1.self_attn.k_proj.weight"), [60, 2, 4]);
  assert.equal(first("model.layers.0.mlp.gate_proj.weight"), [124, 6, 4]);
  assert.equal(first("model.layers.0.mlp.down_proj.weight"), [172, 4, 6]);
  assert.equal(first("model.layers.0.mlp.up_proj.weight"), [220, 6, 4]);
  assert.equal(first("model.norm.weight"), [268, 4]);
  assert.is(tensors.has("lm_head.weight"), false);
});

test("a negative vocabulary means a head of its own", () => {
  const { config, tensors } = readLlama2c(checkpoint({ tied: false }), "x.bin");
  assert.is(config.tieWordEmbeddings, false);
  assert.is(toFloat32(tensors.get("lm_head.weight")!)[0], 282);
});

test("a file cut anywhere, prolonged or changed is read or refused", () => {
  const whole = checkpoint();
  const longer = new Uint8Array(whole.length + 1);
  longer.set(whole);
  for (const bytes of [longer, ...Array.from(whole, (_, length) => whole.subarray(0, length))]) {
    assert.throws(
      () => readLlama2c(bytes, "x.bin"),
      (error: unknown) => error instanceof FormatError && error.message.startsWith("x.bin"),
    );
  }
  const any = fc.tuple(fc.nat({ max: 27 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(any, ([at, byte]) => {
      const changed = checkpoint();
      changed[at] = byte;
      try {
        readLlama2c(changed, "x.bin");
      } catch (error) {
        assert.instance(error, FormatError);
      }
    }),
    { numRuns: 1000 },
  );
});

const real = new URL("../../../../shared/models/stories260K/stories260K.bin", import.meta.url);
if (existsSync(real)) {
  test("the stories260K checkpoint has its 260,032 parameters", () => {
    const { config, tensors } = readLlama2c(readFileSync(real), "stories260K.bin");
    assert.equal([config.hiddenSize, config.layers, config.vocabSize], [64, 5, 512]);
    const count = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length / 4, 0);
    assert.is(count, 260_032);
  });
} else console.log("skipped: the stories260K checkpoint is not present");

test.run();
