// The limits of the engine's memory.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError } from "../../src/core/error.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";

test("a tensor as large as all addresses is refused, in a scope and outside", async () => {
  const engine = await Engine.create({ threads: 1, maximumMemory: 4 * 1024 * 1024 });
  engine.run(() => {
    const canary = tensor([1, 2, 3]);
    // Rounded up, or with the header before it, each of these is 2^32 bytes or a little more.
    for (const size of [2 ** 30 - 1, 2 ** 30 - 16, 2 ** 30 - 32, 2 ** 30 - 48]) {
      for (const make of [() => zeros([size]), () => scope(() => zeros([size]))]) {
        assert.throws(
          () => make(),
          (error: unknown) => error instanceof MemoryError && error.message.includes(`${4 * size}`),
        );
      }
    }
    const later = scope(() => canary.add(zeros([3])));
    assert.equal([...later.toArray()], [1, 2, 3]);
  });
  engine.shutdown();
});

test.run();
