// Packing a frozen weight: memory is counted and given back, values stay what they are, and what an open scope has
// made of the weight's rows goes on reading rows.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError, UsageError } from "../../src/core/error.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { add } from "../../src/tensor/elementwise.ts";
import { embedding } from "../../src/tensor/embedding.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import type { Prepack } from "../../src/tensor/pack.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { size } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const { engine } = all[0]!;

/** Bytes of a block: whole lines, at least one. Where a hole is a line too long for it, it takes that as well. */
const block = (floats: number): number => Math.max(Math.ceil(floats / 16), 1) * 64;
const panels = (rows: number, columns: number): number => block(Math.ceil(rows / 8) * 8 * columns);

/** Runs twice: the first time scratch memory and the arena grow, and stay. */
function inEngine(name: string, body: () => void): void {
  test(name, () => {
    engine.run(body);
    const before = engine.stats().persistentBytes;
    engine.run(body);
    assert.is(engine.stats().persistentBytes, before);
  });
}

inEngine("what packing takes is counted to the byte and given back", () => {
  const held = (): number => engine.stats().persistentBytes;
  // No weight below needs more scratch.
  const widest = normal([8, 200], { seed: 1 });
  widest.pack();
  widest.dispose();
  fc.assert(
    fc.property(size(70), size(70), fc.boolean(), (n, k, atOnce) => {
      const before = held();
      const w = normal([n, k], { seed: n });
      const rest = before + block(160 / 4);
      const values = w.toArray();
      const sizes = {
        rows: block(n * k),
        forward: panels(n, k),
        both: panels(n, k) + panels(k, n),
      };
      const expectHeld = (form: keyof typeof sizes): void => {
        const extra = held() - rest - sizes[form];
        // Rows may stay in the block that the panels were in.
        const most = form === "rows" ? 192 + panels(n, k) - block(n * k) : 192;
        assert.ok(extra >= 0 && extra <= most && extra % 64 === 0, `${form}: ${extra} too many`);
        assert.is(w.prepack, form === "rows" ? null : form);
        assert.equal(w.toArray(), values);
      };
      if (!atOnce) w.pack();
      w.pack({ prepack: "both" });
      expectHeld("both");
      w.pack();
      expectHeld("both");
      w.pack({ prepack: "forward" });
      expectHeld("forward");
      w.pack({ prepack: "both" });
      w.set(values);
      expectHeld("both");
      w.unpack();
      expectHeld("rows");
      w.pack();
      expectHeld("forward");
      w.pack({ prepack: "both" });
      w.requiresGrad = true;
      expectHeld("rows");
      w.requiresGrad = false;
      w.pack({ prepack: "both" });
      w.dispose();
      assert.is(held(), before);
    }),
    { numRuns: 60 },
  );
});

inEngine("new values reach both products of a weight packed for both", () => {
  const x = normal([9, 20], { seed: 1, requiresGrad: true });
  const run = (w: Tensor): Float32Array[] => {
    const y = scope(() => {
      const y = linear(x, w);
      y.mul(y).sum().backward();
      return y.toArray() as Float32Array;
    });
    const gradient = x.grad!;
    x.zeroGrad();
    return [y, gradient];
  };
  const w = normal([13, 20], { seed: 2 });
  const other = normal([13, 20], { seed: 3 });
  w.pack({ prepack: "both" });
  const first = run(w);
  w.set(other.toArray());
  assert.equal(run(w), run(other));
  assert.not.equal(run(w), first);
  for (const t of [x, w, other]) t.dispose();
});

inEngine("a prepack that is none is refused, and nothing changes", () => {
  const w = normal([5, 6], { seed: 1 });
  const pack = (prepack: unknown): void => w.pack({ prepack: prepack as Prepack });
  for (const wrong of ["backward", "", null, true, 2]) {
    assert.throws(
      () => pack(wrong),
      (error: unknown) => error instanceof UsageError && /"forward" or "both"/.test(error.message),
    );
    assert.is(w.prepack, null);
  }
  w.dispose();
});

test("out of memory leaves a weight as it was", async () => {
  const small = await Engine.create({ threads: 1, maximumMemory: 4 * 1024 * 1024 });
  small.run(() => {
    const w = normal([300, 1000], { seed: 1 });
    const values = w.toArray();
    w.pack();
    const rest: Tensor[] = [];
    assert.throws(() => {
      for (;;) rest.push(zeros([10_000]));
    });
    const { persistentBytes } = small.stats();
    for (const act of [() => w.pack({ prepack: "both" }), () => w.set(values)]) {
      assert.throws(act, (error: unknown) => error instanceof MemoryError);
      assert.is(w.prepack, "forward");
      assert.is(small.stats().persistentBytes, persistentBytes);
    }
    for (const t of rest) t.dispose();
    assert.equal(w.toArray(), values);
    w.pack({ prepack: "both" });
    const rows = normal([300, 1000], { seed: 2 });
    const before = small.stats().persistentBytes;
    assert.throws(
      () => rows.pack(),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.is(rows.prepack, null);
    assert.is(small.stats().persistentBytes, before);
  });
});

/** What may happen to a weight between an op and its backward, without changing its values. */
const moves: readonly ((w: Tensor) => void)[] = [
  (w) => w.pack(),
  (w) => w.pack({ prepack: "both" }),
  (w) => w.pack({ prepack: "forward" }),
  (w) => w.unpack(),
  (w) => w.set(w.toArray()),
  (w) => {
    w.requiresGrad = true;
    w.requiresGrad = false;
  },
];

/** Ops of x [7, 9] on a weight [12, 9], some of which read it in rows, some through views. */
const ops: readonly ((x: Tensor, w: Tensor) => Tensor)[] = [
  (x, w) => linear(x, w),
  (x, w) => x.matmul(w.reshape([9, 12])),
  (x, w) => x.matmul(w.transpose(0, 1)),
  (x, w) => x.slice(0, 0, 1).mul(w),
  (x, w) =>
    w.div(
      x
        .slice(0, 1, 2)
        .mul(x.slice(0, 1, 2))
        .add(1),
    ),
  (x, w) => add(w.detach(), x.slice(0, 2, 3)),
  (x, w) => w.reshape([2, 6, 9]).mul(x.slice(0, 3, 4)),
  (x, w) => linear(w, x),
  (x, w) => linear(x, w, null, { a: w.slice(0, 0, 4), b: w.slice(1, 0, 4), scale: 0.5 }),
  (x, w) =>
    linear(x.slice(1, 0, 4), w.slice(1, 0, 4), null, {
      a: zeros([12, 4]),
      b: zeros([12, 12]),
      scale: 1,
    }),
  (x, w) => x.slice(0, 0, 2).mul(embedding(tensor(Int32Array.of(3, 11)), w)),
  (x, w) => linearCrossEntropy(x, w, tensor(Int32Array.of(0, 1, 2, 3, 4, 5, 11))),
];

for (const { name, engine } of all.slice(0, 2)) {
  test(`ops and views made before a weight is packed or unpacked keep their bits after it (${name})`, () => {
    engine.run(() => {
      const x = normal([7, 9], { seed: 1, requiresGrad: true });
      const run = (steps: readonly [number, number][], moving: boolean): unknown => {
        const w = normal([12, 9], { seed: 2 });
        const result = scope(() => {
          let loss = tensor([0]);
          const seen: Tensor[] = [];
          const taken: Tensor[] = [];
          for (const [op, move] of steps) {
            const y = ops[op]!(x, w);
            loss = loss.add(y.mul(y).sum());
            seen.push(y, w.reshape([108]), w.detach());
            if (!moving) continue;
            moves[move]!(w);
            // What was freed too early would be written over here.
            for (let i = 0; i < 3; i++) {
              const junk = tensor(new Float32Array(108 + 60 * i).fill(Number.NaN), {
                persistent: true,
              });
              taken.push(junk);
            }
          }
          loss.backward();
          const values = [loss, ...seen].map((t) => t.toArray());
          for (const junk of taken) junk.dispose();
          return values;
        });
        const gradient = x.grad;
        x.zeroGrad();
        w.dispose();
        return [result, gradient];
      };
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.nat(ops.length - 1), fc.nat(moves.length - 1)), {
            minLength: 1,
            maxLength: 8,
          }),
          (steps) => {
            assert.equal(run(steps, true), run(steps, false));
          },
        ),
        { numRuns: 300 },
      );
      x.dispose();
    });
  });
}

inEngine("a captured step that reads a weight's rows is recorded anew once it is packed", () => {
  const data = Float32Array.from({ length: 63 }, (_, i) => Math.fround(Math.sin(i)));
  const expected = scope(() => {
    const x = tensor(data, { shape: [7, 9] });
    return ops.slice(1, 4).map((op) => [...op(x, normal([12, 9], { seed: 2 })).toArray()]);
  });
  for (const inside of [false, true]) {
    const w = normal([12, 9], { seed: 2 });
    const step = capture((numbers: Float32Array) => {
      const x = tensor(numbers, { shape: [7, 9] });
      const results = ops.slice(1, 4).map((op) => op(x, w));
      if (inside) w.pack();
      return results;
    });
    for (let call = 0; call < 4; call++) {
      assert.equal(
        step(data).map((result) => [...result.toArray()]),
        expected,
      );
      assert.is(step.recordings, inside || call > 1 ? Math.min(call + 1, 2) : 1);
      if (call === 1) w.pack({ prepack: "both" });
      const junk = normal([12, 9], { seed: 3 + call });
      junk.dispose();
    }
    step.dispose();
    w.dispose();
  }
});

inEngine("rows of a weight packed in a scope are freed with the outermost one", () => {
  const held = (): number => engine.stats().persistentBytes;
  const w = normal([16, 16], { seed: 1 });
  scope(() => {
    tensor([1]);
    const before = held();
    scope(() => w.pack());
    assert.ok(held() > before);
  });
  const outside = normal([16, 16], { seed: 1 });
  outside.pack();
  const packed = held();
  outside.dispose();
  const one = packed - held();
  w.dispose();
  assert.is(packed - 2 * one, held());
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
