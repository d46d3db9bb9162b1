// Sizes that 32 bits cannot hold: they come out as more than there is, never as a small remainder.

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError, ShapeError } from "../../src/core/error.ts";
import { attention } from "../../src/tensor/attention.ts";
import { zeros } from "../../src/tensor/create.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { leaf } from "../../src/tensor/record.ts";
import { builds, Cols, type Kernel, Panels } from "./gemm-harness.ts";

/** The allocator gives no block above this (assembly/memory/heap.ts). */
const MOST = 0xffff0000;
const sizes = { deterministic: true, threads: 1 };

for (const { name, kernels } of builds) {
  test(`panels that 32 bits cannot hold are too large to be allocated (${name})`, () => {
    // Eight rows of 2^26 floats are 2 GiB.
    assert.is(kernels.panelFloats(1, 2 ** 26), 2 ** 29);
    for (const k of [2 ** 27, 2 ** 28, 2 ** 29, 2 ** 30 - 1]) {
      assert.ok((kernels.panelFloats(1, k) * 4) >>> 0 > MOST, `${k}`);
    }
  });

  test(`scratch that 32 bits cannot hold is too large to be allocated (${name})`, () => {
    // Blocks of t and of B are 128 and 512 wide, for each thread; the factors A [r, 1] and B [512, r] do fit.
    for (const [r, threads] of [
      [2 ** 18, 64],
      [2 ** 21, 8],
      [2 ** 24, 1],
      [2 ** 25, 1],
    ] as const) {
      const bytes = kernels.gemmLowRankScratch(128, 512, 1, Panels, r, threads) >>> 0;
      assert.ok(bytes > MOST, `${bytes}`);
    }
    assert.ok(kernels.gemmLowRankScratch(128, 512, 1, Cols, 2 ** 12, 8) >>> 0 < 2 ** 27);
  });
}

test("shapes whose axes do not fit into 32 bits are refused, empty ones too", async () => {
  const engine = await Engine.create(sizes);
  engine.run(() => {
    for (const shape of [
      [0, 2 ** 32 + 1],
      [2 ** 30, 0],
      [2 ** 15, 2 ** 15],
    ]) {
      assert.throws(
        () => zeros(shape),
        (error: unknown) => error instanceof ShapeError,
      );
    }
    assert.is(zeros([0, 5]).size, 0);
  });
});

test("an op whose scratch does not fit into 32 bits is refused before it runs", async () => {
  const engine = await Engine.create(sizes);
  engine.run(() => {
    // 128 rows of logits, 2^23 + 1 each: 4 GiB and 512 bytes.
    const x = zeros([128, 1]);
    const weight = zeros([2 ** 23 + 1, 1]);
    const targets = zeros([128], { dtype: "int32" });
    assert.throws(
      () => linearCrossEntropy(x, weight, targets),
      (error: unknown) => error instanceof MemoryError,
    );
    for (const each of [x, weight, targets]) each.dispose();
  });
});

test("attention whose packed keys do not fit into 32 bits is refused before it runs", async () => {
  const engine = await Engine.create(sizes);
  engine.run(() => {
    // Keys of one number are padded to eight: 4 GiB of 512 MiB, which nobody writes.
    const keys = leaf([1, 2 ** 27, 1, 1], () => {});
    const queries = zeros([1, 4, 1, 1]);
    assert.throws(
      () => attention(queries, keys, keys),
      (error: unknown) => error instanceof MemoryError,
    );
  });
});

test("a memory of 4 GiB can be filled to its end", () => {
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  const bytes = readFileSync(new URL("../../core.wasm", import.meta.url));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  const { setup, allocate } = exports as unknown as Record<"setup" | "allocate", Kernel>;
  setup();
  const first = allocate(2 ** 31) >>> 0;
  assert.ok(first > 0);
  const behind = first + 2 ** 31 + 64;
  // All but the last line: a block must end below 2^32.
  assert.is(allocate(2 ** 32 - behind - 64) >>> 0, behind);
  assert.is(allocate(1), 0);
});

test("a weight whose panels do not fit into 32 bits is refused and stays as it was", async () => {
  const engine = await Engine.create(sizes);
  engine.run(() => {
    // Nobody writes the half GiB, so it is never really there.
    const weight = leaf([1, 2 ** 27], () => {});
    assert.throws(
      () => weight.pack(),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.not.ok(weight.packed);
    weight.dispose();
  });
});

test.run();
