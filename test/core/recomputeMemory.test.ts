// What segments that backward runs again hold of memory, and that they do not meet.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engine } from "../support/inEngine.ts";

const plain = <T>(fn: () => T): T => fn();
type Around = typeof plain;

/** Bytes of the arena at most, while a chain of `length` segments of eight ops on 64 KiB goes forth and back. */
async function peakOf(around: Around, length: number): Promise<number> {
  const fresh = await Engine.create({ threads: 1 });
  return fresh.run(() => {
    const x = tensor(new Float32Array(16384).fill(0.1), { requiresGrad: true, persistent: true });
    scope(() => {
      let y: Tensor = x;
      for (let i = 0; i < length; i++) {
        const input = y;
        y = around(() => {
          let z = input;
          for (let op = 0; op < 8; op++) z = z.tanh();
          return z;
        });
      }
      y.sum().backward();
    });
    return fresh.stats().arenaPeak;
  });
}

test("what a segment makes is given back: of each only its result stays", async () => {
  const bytes = 65536;
  const [all, few] = [await peakOf(plain, 10), await peakOf(recompute, 10)];
  // 80 values, or 10 results and one segment of eight; two gradients on top, and records of some 200 bytes.
  const records = 110 * 256;
  assert.ok(all > 82 * bytes && all < 82 * bytes + records, `${all}`);
  assert.ok(few > 18 * bytes && few < 20 * bytes + records, `${few}`);
});

test("memory that runs out in a segment is an error that leaves the engine usable", async () => {
  const small = await Engine.create({ threads: 1, maximumMemory: 12 * 1024 * 1024 });
  small.run(() => {
    const x = tensor(new Float32Array(1 << 18), { requiresGrad: true, persistent: true });
    const body = (): void => {
      recompute(() => {
        let y: Tensor = x;
        for (let i = 0; i < 12; i++) y = y.tanh();
        return y;
      });
    };
    assert.throws(() => scope(body), /Out of memory/);
    scope(() =>
      recompute(() => x.tanh().tanh())
        .sum()
        .backward(),
    );
    assert.is(x.grad?.length, 1 << 18);
  });
});

test("segments of captured steps, of scopes and of several engines do not meet", async () => {
  const other = await Engine.create({ threads: 1 });
  const results = [engine, other].map((one) =>
    one.run(() => {
      const w = tensor([1, 2, 3], { requiresGrad: true, persistent: true });
      const fn = (x: Float32Array): Tensor => {
        const y = recompute(() => tensor(x).mul(w).exp().tanh());
        const z = recompute(() => y.mul(y).exp());
        z.sum().backward();
        return z;
      };
      const [a, b] = [capture(fn), capture(fn)];
      const seen = [0.1, 0.2, 0.3].flatMap((value) => {
        const x = new Float32Array(3).fill(value);
        const both = [a(x).toArray(), b(x).toArray(), scope(() => fn(x).toArray())];
        assert.equal(both[1], both[0]);
        assert.equal(both[2], both[0]);
        return [...both, w.grad];
      });
      for (const made of [a, b, w]) made.dispose();
      return seen;
    }),
  );
  assert.ok(results[0]!.length > 0);
});

test("disposing of a captured step in a scope leaves memory to the segments of the scope", async () => {
  const fresh = await Engine.create({ threads: 1, deterministic: true });
  fresh.run(() => {
    const size = 1000;
    const w = tensor(new Float32Array(size).fill(0.5), { requiresGrad: true, persistent: true });
    const step = capture(() => w.mul(2));
    step();
    scope(() => {
      const y = recompute(() => w.exp().tanh().exp().tanh());
      step.dispose();
      // What takes the segments' memory if it has been given back.
      const others = Array.from({ length: 100 }, () =>
        tensor(new Float32Array(size).fill(7), { persistent: true }),
      );
      y.sum().backward();
      for (const other of others) assert.ok(other.toArray().every((value) => value === 7));
    });
  });
});

test.run();
