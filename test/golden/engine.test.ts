import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdamW } from "../../src/optim/adamw.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { commonAdapter, commonBatch, commonModel } from "./common-engine.ts";
import { commonAdamW, commonSizes, commonStart } from "./common-model.ts";

const all = await engines();

for (const name of ["S", "M"] as const) {
  const size = commonSizes[name];
  const start = commonStart(size);
  for (const method of ["full", "lora"] as const) {
    for (const { name: build, engine } of all) {
      // M takes seconds a run: one thread count of each build is enough there.
      if (name === "M" && engine.threads === 1) continue;
      test(`${name} ${method} gives PyTorch's five losses to 1e-5 (${build})`, () => {
        engine.run(() => {
          const model = commonModel(size, start);
          assert.is(model.countParameters(), size.parameters);
          const adapter = method === "lora" ? commonAdapter(model, start) : null;
          if (adapter !== null) assert.is(adapter.countParameters(), size.loraParameters);
          const batch = commonBatch(size, start);
          const optimizer = new AdamW(model.trainableParameters(), commonAdamW);
          for (const expected of size.losses[method]) {
            const loss = scope(() => {
              const value = model.loss(batch);
              value.backward();
              return value.item();
            });
            optimizer.step();
            optimizer.zeroGrad();
            assert.ok(
              Math.abs(loss - expected) <= 1e-5 * expected,
              `loss ${loss}, PyTorch ${expected}`,
            );
          }
          optimizer.dispose();
          model.dispose();
        });
      });
    }
  }
}

test.run();
