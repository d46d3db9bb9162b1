// Outside of scopes a model gives what it gives inside, and leaves nothing behind but its result.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import type { Linear } from "../../src/nn/linear.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter, randomBatch, smallModel, styles } from "../support/models.ts";

const { engine } = (await engines())[0]!;

/** Values of what `fn` makes outside of scopes; fails if anything else is left after the first time. */
function valuesAlone(fn: () => Tensor): string {
  fn().dispose();
  const before = engine.stats().persistentBytes;
  const made = fn();
  const values = made.toArray().join();
  made.dispose();
  assert.is(engine.stats().persistentBytes, before);
  return values;
}

for (const [name, config] of styles) {
  test(`a ${name} model with two active adapters leaves nothing behind outside of scopes`, () => {
    engine.run(() => {
      const model = smallModel(config);
      for (const [i, adapterName] of ["one", "two"].entries()) {
        const options = { r: 2, targetModules: "all-linear" };
        drawAdapter(injectLora(model, options, { adapterName }), i);
      }
      setActiveAdapters(model, ["one", "two"]);
      const batch = randomBatch(config, { batchSize: 2, blockSize: 5 });
      const ids = tensor(batch.inputs, { shape: [2, 5] });
      const layers = [...model.namedModules()].filter(([path]) => /proj$|c_attn$/.test(path));
      const makers = [
        () => model.forward(ids),
        () => model.loss(batch),
        ...layers.map(([, layer]) => {
          const x = zeros([3, (layer as Linear).inFeatures]);
          return () => (layer as Linear).forward(x);
        }),
      ];
      for (const make of makers) {
        const inside = scope(() => noGrad(() => make().toArray().join()));
        assert.is(valuesAlone(make), inside);
      }
      model.dispose();
    });
  });
}

test.run();
