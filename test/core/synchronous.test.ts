// What must be synchronous refuses an async function, and leaves the engine as it was.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { current, init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";

const { engine } = (await engines())[0]!;
const standard = await init({ threads: 1 });

const calls: readonly (readonly [string, (fn: () => unknown) => unknown])[] = [
  ["scope", scope],
  ["noGrad", noGrad],
  ["engine.run", (fn) => engine.run(fn)],
];

for (const [name, call] of calls) {
  test(`${name} refuses an async function and anything else with a then, and goes on as before`, () => {
    // biome-ignore lint/suspicious/noThenProperty: what is tested
    for (const fn of [async () => 1, () => ({ then: () => 1 })]) {
      assert.throws(
        () => call(fn),
        (error: unknown) => error instanceof UsageError && /synchronous/.test(error.message),
      );
      assert.is(current(), standard);
      assert.is(standard.scopes.length, 0);
      scope(() => assert.ok(tensor([1], { requiresGrad: true }).mul(2).requiresGrad));
    }
    for (const value of [null, undefined, 0, { next: 1 }])
      assert.is(
        call(() => value),
        value,
      );
  });
}

test.run();
