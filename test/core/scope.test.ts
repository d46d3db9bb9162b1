import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError, ReleasedError, UsageError } from "../../src/core/error.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { normal } from "../../src/tensor/random.ts";
import { leaf } from "../../src/tensor/record.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const first = all[0]?.engine ?? (await Engine.create());

function inFirst(name: string, body: () => void): void {
  test(name, () => first.run(body));
}

inFirst("a tensor of a closed scope throws a ReleasedError when used", () => {
  let kept: Tensor | undefined;
  scope(() => {
    kept = tensor([1, 2, 3]).add(1);
  });
  assert.throws(
    () => kept?.toArray(),
    (error: unknown) => error instanceof ReleasedError && /scope/.test(error.message),
  );
  assert.throws(
    () => kept?.add(1),
    (error: unknown) => error instanceof ReleasedError,
  );
});

inFirst(
  "a disposed tensor throws a ReleasedError when used, also after its memory is reused",
  () => {
    const gone = tensor([1, 2, 3]);
    gone.dispose();
    const other = tensor([4, 5, 6]);
    assert.throws(
      () => gone.item(),
      (error: unknown) => error instanceof ReleasedError,
    );
    assert.not.throws(() => gone.dispose());
    other.dispose();
  },
);

inFirst(
  "what is disposed of inside a scope is released at once, but backward still reads it",
  () => {
    const before = first.stats().persistentBytes;
    const w = tensor([1, 2, 3], { requiresGrad: true });
    const x = tensor([4, 5, 6]);
    scope(() => {
      const loss = w.mul(x).sum();
      x.dispose();
      assert.throws(
        () => x.toArray(),
        (error: unknown) => error instanceof ReleasedError,
      );
      const other = tensor([7, 8, 9], { persistent: true });
      loss.backward();
      assert.equal([...(w.grad ?? [])], [4, 5, 6]);
      other.dispose();
    });
    w.dispose();
    assert.is(first.stats().persistentBytes, before);
  },
);

inFirst("tensors that a scope returns are copied out, also in arrays and objects", () => {
  const out = scope(() => {
    const x = tensor([1, 2]).add(1);
    return { x, list: [x.mul(2), "text"] as const, same: x };
  });
  assert.equal([...out.x.toArray()], [2, 3]);
  assert.equal([...out.list[0].toArray()], [4, 6]);
  assert.is(out.list[1], "text");
  assert.is(out.same, out.x);
  assert.ok(out.x.persistent);
  for (const t of [out.x, out.list[0]]) t.dispose();
});

inFirst("an inner scope frees only its own tensors", () => {
  scope(() => {
    const outer = tensor([1, 2, 3]).mul(2);
    const inner = scope(() => outer.add(1));
    assert.equal([...outer.toArray()], [2, 4, 6]);
    assert.equal([...inner.toArray()], [3, 5, 7]);
    assert.not.ok(inner.persistent);
  });
});

inFirst("gradients flow through what was recorded before an inner scope", () => {
  const w = tensor([2], { requiresGrad: true });
  scope(() => {
    const y = w.mul(w);
    scope(() => y.mul(3).sum().backward());
    assert.equal([...(w.grad ?? [])], [12]);
  });
  w.dispose();
});

inFirst("an async function in a scope is an error, and the scope is closed", () => {
  assert.throws(
    () => scope(async () => tensor([1])),
    (error: unknown) => error instanceof UsageError && /promise/.test(error.message),
  );
  assert.is(first.scopes.length, 0);
});

inFirst("a scope is closed when its function throws", () => {
  const before = first.stats().arenaBytes;
  assert.throws(() =>
    scope(() => {
      tensor([1]).add(1);
      throw new Error("mine");
    }),
  );
  assert.is(first.scopes.length, 0);
  assert.is(first.stats().arenaBytes, before);
});

inFirst("backward outside a scope is an error that says so", () => {
  const x = tensor([1], { requiresGrad: true });
  const y = x.mul(2);
  assert.throws(
    () => y.backward(),
    (error: unknown) => error instanceof UsageError && /inside a scope/.test(error.message),
  );
  for (const t of [x, y]) t.dispose();
});

inFirst("backward from more than one element, or from nothing that trains, is an error", () => {
  scope(() => {
    const x = tensor([1, 2], { requiresGrad: true });
    assert.throws(() => x.mul(2).backward(), /one element/);
    assert.throws(() => tensor([1]).mul(2).backward(), /nothing to differentiate/);
    assert.throws(() => noGrad(() => x.mul(2).sum()).backward(), /nothing to differentiate/);
    assert.throws(() => x.detach().sum().backward(), /nothing to differentiate/);
  });
});

inFirst("gradients add up over backward passes until they are cleared", () => {
  const w = tensor([1, 2], { requiresGrad: true });
  for (let i = 1; i <= 3; i++) {
    scope(() => w.mul(w).sum().backward());
    assert.equal([...(w.grad ?? [])], [2 * i, 4 * i]);
  }
  w.zeroGrad();
  assert.is(w.grad, null);
  w.dispose();
});

inFirst("one tensor used twice by an op, and through views, gets both gradients", () => {
  const w = tensor([1, 2, 3, 4], { requiresGrad: true });
  scope(() => {
    const rows = w.reshape([2, 2]);
    rows
      .mul(w.reshape([2, 2]))
      .add(rows.reshape([4]).reshape([2, 2]))
      .sum()
      .backward();
  });
  assert.equal([...(w.grad ?? [])], [3, 5, 7, 9]);
  w.dispose();
});

inFirst("an intermediate gradient is kept only when asked for", () => {
  const w = tensor([1, 2], { requiresGrad: true });
  scope(() => {
    const plain = w.mul(3);
    const kept = plain.mul(2);
    kept.retainGrad();
    kept.mul(kept).sum().backward();
    assert.is(plain.grad, null);
    assert.equal([...(kept.grad ?? [])], [12, 24]);
  });
  w.dispose();
});

inFirst("memory is given back: blocks are reused and joined in any order of release", () => {
  const before = first.stats().persistentBytes;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.nat(20)), { maxLength: 60 }),
      (plan) => {
        const live: { t: Tensor; value: number }[] = [];
        plan.forEach(([size, victim], i) => {
          live.push({ t: leaf([size], (data) => data.fill(i)), value: i });
          if (victim < live.length) live.splice(victim, 1)[0]?.t.dispose();
        });
        for (const { t, value } of live) {
          assert.ok(t.toArray().every((x) => x === value));
          t.dispose();
        }
      },
    ),
    { numRuns: 200 },
  );
  assert.is(first.stats().persistentBytes, before);
});

test("out of memory says how much was asked for and leaves the engine usable", async () => {
  const engine = await Engine.create({ threads: 1, maximumMemory: 4 * 1024 * 1024 });
  engine.run(() => {
    const small = tensor([1, 2, 3]);
    assert.throws(
      () => zeros([2_000_000]),
      (error: unknown) => error instanceof MemoryError && /8000000 bytes/.test(error.message),
    );
    assert.throws(
      () =>
        scope(() => {
          const x = zeros([200_000]);
          for (let i = 0; i < 10; i++) x.add(i);
        }),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.is(engine.scopes.length, 0);
    assert.equal([...scope(() => small.add(1)).toArray()], [2, 3, 4]);
  });
});

test("running out of memory in backward leaves no half-made gradients behind", async () => {
  const engine = await Engine.create({ threads: 1, maximumMemory: 4 * 1024 * 1024 });
  engine.run(() => {
    const w = normal([1000], { seed: 1, requiresGrad: true });
    const spoil = (): void =>
      scope(() => {
        const big = w.reshape([1000, 1]).mul(zeros([1, 400]).add(1));
        const rest: Tensor[] = [];
        try {
          for (;;) rest.push(zeros([16_000]));
        } catch (error) {
          assert.ok(error instanceof MemoryError);
        }
        big.mul(big).sum().backward();
      });
    assert.throws(spoil, (error: unknown) => error instanceof MemoryError);
    w.zeroGrad();
    scope(() => w.mul(2).sum().backward());
    assert.ok(w.grad?.every((g) => g === 2));
  });
});

for (const { name, engine } of all) {
  test(`a thousand steps leave memory where it was (${name})`, () => {
    engine.run(() => {
      const w = normal([40, 30], { seed: 1, requiresGrad: true });
      const x = normal([20, 30], { seed: 2 });
      const step = (): void => {
        scope(() => x.matmul(w.transpose(0, 1)).relu().sum().backward());
        w.zeroGrad();
      };
      step();
      const before = engine.stats();
      const bytes = engine.memoryBytes;
      for (let i = 0; i < 1000; i++) step();
      const after = engine.stats();
      assert.is(after.persistentBytes, before.persistentBytes);
      assert.is(after.arenaBytes, before.arenaBytes);
      assert.is(after.arenaPeak, before.arenaPeak);
      assert.is(engine.memoryBytes, bytes);
    });
  });
}

test.run();
