// What a forward pass refuses: positions and starts that do not fit the ids, and a cache where gradients would be lost.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type LowrankError, ShapeError, UsageError } from "../../src/core/error.ts";
import { KvCache } from "../../src/nn/cache.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { smallModel, styles } from "../support/models.ts";

const { engine } = (await engines())[0]!;

const says = (kind: typeof LowrankError, message: RegExp) => (error: unknown) =>
  error instanceof kind && message.test(error.message);

for (const [name, config] of styles) {
  test(`positions and starts of another shape or type than the ids are refused by name (${name})`, () => {
    engine.run(() => {
      const model = smallModel(config);
      const ids = tensor(Int32Array.of(1, 2, 3, 4, 5, 6), { shape: [2, 3] });
      for (const what of ["positions", "starts"] as const) {
        for (const shape of [[3], [1, 3], [3, 2], [2, 3, 1], [2, 4]]) {
          const given = zeros(shape, { dtype: "int32" });
          const message = new RegExp(
            `got ${what} of int32 \\[${shape}\\]; expected int32 \\[2,3\\]`,
          );
          assert.throws(() => model.forward(ids, { [what]: given }), says(ShapeError, message));
          given.dispose();
        }
        const floats = zeros([2, 3]);
        assert.throws(() => model.hidden(ids, { [what]: floats }), says(ShapeError, /float32/));
        floats.dispose();
      }
      model.dispose();
    });
  });

  test(`a cache is refused where gradients are recorded, and taken under noGrad and outside of scopes (${name})`, () => {
    engine.run(() => {
      const model = smallModel(config);
      const ids = tensor(Int32Array.of(1, 2, 3), { shape: [1, 3] });
      const cache = new KvCache(config, 1, 8);
      scope(() => {
        assert.throws(() => model.forward(ids, { cache }), says(UsageError, /noGrad/));
      });
      assert.is(cache.length, 0);
      const inside = scope(() => noGrad(() => model.forward(ids, { cache }).toArray()));
      cache.length = 0;
      assert.equal(model.forward(ids, { cache }).toArray(), inside);
      cache.dispose();
      model.dispose();
    });
  });
}

test.run();
