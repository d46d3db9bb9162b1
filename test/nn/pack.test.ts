// Packing all weights of a model, or none: what has been packed when memory runs out is undone without taking any.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdaptedLinear } from "../../src/adapters/adaptedLinear.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError } from "../../src/core/error.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Module } from "../../src/nn/module.ts";
import { zeros } from "../../src/tensor/create.ts";
import type { PackOptions, Prepack } from "../../src/tensor/pack.ts";
import { normal } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { uniform } from "../support/arbitraries.ts";
import { llamaStyle, smallModel } from "../support/models.ts";

/** A weight's rows, columns and form. */
type Form = readonly [rows: number, columns: number, prepack: Prepack | null];

class Stack extends Module {
  readonly weights: readonly Tensor[];

  constructor(forms: readonly Form[]) {
    super();
    this.weights = forms.map(([rows, columns, prepack], i) => {
      const weight = normal([rows, columns], { seed: i });
      this.addModule(String(i), new Linear(columns, rows, { bias: false, weight }));
      if (prepack !== null) weight.pack({ prepack });
      return weight;
    });
  }
}

/** Tensors that take all memory but less than 4 KiB in a piece. */
function fillMemory(): Tensor[] {
  const taken: Tensor[] = [];
  for (let floats = 1 << 16; floats >= 1 << 10; floats /= 2) {
    try {
      for (;;) taken.push(zeros([floats], { persistent: true }));
    } catch (error) {
      assert.instance(error, MemoryError);
    }
  }
  return taken;
}

const small = await Engine.create({ threads: 1, maximumMemory: 2 * 1024 * 1024 });

/** Packs with memory full but for `room` numbers; whether that failed, in which case all must be as before. */
function packFull(
  model: Module,
  weights: readonly Tensor[],
  options: PackOptions,
  room = 0,
): boolean {
  const forms = weights.map(({ prepack }) => prepack);
  const values = weights.map((weight) => weight.toArray());
  const free = zeros([room], { persistent: true });
  const taken = fillMemory();
  free.dispose();
  let failed = false;
  try {
    model.pack(options);
  } catch (error) {
    assert.instance(error, MemoryError);
    failed = true;
  }
  const after = weights.map(({ prepack }) => prepack);
  for (const t of taken) t.dispose();
  const asked = forms.map((form) => options.prepack ?? form ?? "forward");
  assert.equal(after, failed ? forms : asked);
  assert.equal(
    weights.map((weight) => weight.toArray()),
    values,
  );
  return failed;
}

test("packing that runs out of memory leaves the form of every weight, also where it would give memory back", () => {
  small.run(() => {
    const next = uniform(1);
    const draw = (most: number): number => Math.floor(next() * most);
    let failures = 0;
    for (let run = 0; run < 150; run++) {
      const forms = Array.from({ length: 2 + draw(6) }, (): Form => {
        const prepack = ([null, "forward", "both"] as const)[draw(3)] ?? null;
        return [1 + draw(60), 1 + draw(120), prepack];
      });
      const model = new Stack(forms);
      const prepack = (["forward", "both", undefined] as const)[draw(3)];
      const failed = packFull(model, model.weights, prepack === undefined ? {} : { prepack });
      failures += Number(failed);
      model.dispose();
    }
    assert.ok(failures > 20 && failures < 150, `${failures} of 150 failed`);
  });
});

test("a weight that took the place of another one's second form is put back as it was", () => {
  small.run(() => {
    // The panels of one row take as much as those of eight.
    const model = new Stack([
      [80, 80, "both"],
      [1, 700, null],
      [200, 300, null],
    ]);
    assert.ok(packFull(model, model.weights, { prepack: "forward" }));
    model.dispose();
  });
});

test("packing that runs out of memory leaves what is merged, and what is kept below it, as they were", () => {
  small.run(() => {
    const model = smallModel(llamaStyle);
    const adapter = injectLora(model, { r: 2, targetModules: ["q_proj", "up_proj"] });
    adapter.merge();
    const layers = [...model.namedModules()].flatMap(([, module]) =>
      module instanceof AdaptedLinear ? [module] : [],
    );
    const weights = layers.flatMap(({ weight, base }) => [weight, base.weight]);
    for (const weight of weights.slice(0, 2)) weight.pack({ prepack: "both" });
    const largest = Math.max(...weights.map(({ size }) => size));
    for (const count of [0, 1.5, 3, 4.5]) {
      assert.ok(packFull(model, weights, { prepack: "both" }, Math.floor(count * largest)));
    }
    model.dispose();
  });
});

test("a weight whose second form finds no place stays in rows", () => {
  small.run(() => {
    // Scratch for a panel stays.
    const widest = normal([8, 257], { seed: 2 });
    widest.pack();
    widest.dispose();
    // The second form, 264 columns, is larger than the rows that packing has given back by then.
    const weight = normal([128, 257], { seed: 1 });
    const room = zeros([128 * 257 + 256], { persistent: true });
    const taken = fillMemory();
    room.dispose();
    assert.throws(
      () => weight.pack({ prepack: "both" }),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.is(weight.prepack, null);
    for (const t of [weight, ...taken]) t.dispose();
  });
});

test("outside of scopes whole panels are packed in place: the engine needs no memory for them", async () => {
  const one = await Engine.create({ threads: 1 });
  one.run(() => {
    const weights = [1, 2].map((stream) => normal([512, 1024], { seed: stream }));
    const rows = weights.map((w) => w.toArray());
    const before = one.memoryBytes;
    for (const w of weights) w.pack();
    // Scratch for eight rows: memory grows by a megabyte at a time. A copy of a weight would be two.
    assert.ok(one.memoryBytes - before <= 1024 * 1024, `${one.memoryBytes - before}`);
    assert.equal(
      weights.map((w) => w.toArray()),
      rows,
    );
  });
});

test.run();
