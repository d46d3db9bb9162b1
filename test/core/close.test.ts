// The end of an engine: its workers end, its memory goes back, and whatever was made in it says so when it is used.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { current, Engine, init } from "../../src/core/engine.ts";
import { LowrankError, ReleasedError, UsageError } from "../../src/core/error.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { thrown } from "../support/thrown.ts";

const CLOSED = /The engine was closed, by close\(\) or by a further init\(\)/;
const closed = (fn: () => unknown): void => {
  const error = thrown(fn);
  assert.instance(error, ReleasedError);
  assert.match(error.message, CLOSED);
};

/** The ends of workers that are started while `fn` runs. */
async function endsOfWorkers(fn: () => Promise<void>): Promise<Promise<unknown>[]> {
  const host = process.getBuiltinModule("node:worker_threads");
  const { Worker } = host;
  const ends: Promise<unknown>[] = [];
  host.Worker = class extends Worker {
    constructor(url: URL) {
      super(url);
      ends.push(new Promise((resolve) => this.on("exit", resolve)));
    }
  };
  try {
    await fn();
    return ends;
  } finally {
    host.Worker = Worker;
  }
}

test("close() ends the workers, and the engine has neither threads nor memory", async () => {
  const ends = await endsOfWorkers(async () => {
    const engine = await Engine.create({ threads: 3 });
    assert.is(engine.threads, 3);
    engine.close();
    assert.is(engine.threads, 1);
    assert.is(engine.memoryBytes, 0);
    engine.close();
    engine.shutdown();
    closed(() => engine.stats());
  });
  assert.is(ends.length, 2);
  // The workers alone keep no process alive.
  const alive = setInterval(() => {}, 100);
  assert.equal(await Promise.all(ends), [0, 0]);
  clearInterval(alive);
});

test("tensors of a closed engine throw and never give numbers; dispose() does nothing", async () => {
  const engine = await Engine.create({ threads: 1 });
  const other = await Engine.create({ threads: 1 });
  const [x, step] = engine.run(() => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    const step = capture((factor: Float32Array) => x.mul(tensor(factor)).sum());
    step(Float32Array.of(1, 2, 3));
    return [x, step] as const;
  });
  const y = other.run(() => tensor([1, 2, 3]));
  engine.close();
  for (const use of [
    () => x.toArray(),
    () => x.size,
    () => x.set([1, 2, 3]),
    () => x.grad,
    () => x.requiresGrad,
    () => x.zeroGrad(),
    () => x.clone(),
    () => x.add(1),
    () => x.add(y),
    () => y.add(x),
    () => engine.run(() => step(Float32Array.of(1, 2, 3))),
    () => other.run(() => step(Float32Array.of(1, 2, 3))),
    () => engine.run(() => zeros([2])),
    () => engine.run(() => scope(() => 1)),
    () => engine.f32,
  ]) {
    closed(use);
  }
  assert.equal(x.shape, [3]);
  x.dispose();
  step.dispose();
  assert.equal([...y.toArray()], [1, 2, 3]);
  other.close();
});

test("close() inside a scope or a captured step is refused, and changes nothing", async () => {
  const engine = await Engine.create({ threads: 1 });
  engine.run(() => {
    const within = [
      () => scope(() => engine.close()),
      () => scope(() => void scope(() => engine.close())),
      () => capture(() => engine.close())(),
    ];
    for (const close of within) {
      const error = thrown(close);
      assert.instance(error, UsageError);
      assert.match(error.message, /close\(\) was called inside a scope or a captured step/);
    }
    assert.is(
      scope(() => tensor([1, 2]).sum().item()),
      3,
    );
  });
  engine.close();
});

test("a further init() closes the engine before it, and none that was made by itself", async () => {
  const own = await Engine.create({ threads: 1 });
  const first = await init({ threads: 1 });
  const [kept, x] = [own.run(() => tensor([5])), tensor([6])];
  const second = await init({ threads: 1 });
  assert.is(current(), second);
  closed(() => x.item());
  closed(() => first.run(() => zeros([1])));
  assert.is(kept.item(), 5);
  assert.is(tensor([7]).item(), 7);
  second.close();
  closed(() => zeros([1]));
  await init({ threads: 1 });
  assert.is(zeros([1]).item(), 0);
  own.close();
});

test("an init() that fails leaves the engine before it open", async () => {
  const engine = await init({ threads: 1 });
  const x = tensor([8]);
  const failed = await init({ maximumMemory: 1 }).catch((error: unknown) => error);
  assert.instance(failed, UsageError);
  assert.is(current(), engine);
  assert.is(x.item(), 8);
});

test("an engine that broke can be closed, also with a scope open, and still says why it broke", async () => {
  const engine = await Engine.create({ threads: 1 });
  engine.run(() => {
    const error = thrown(() => scope(() => engine.wasm.backward(0xffffff00)));
    assert.instance(error, LowrankError);
  });
  engine.close();
  assert.is(engine.memoryBytes, 0);
  assert.match(thrown(() => engine.run(() => zeros([1]))).message, /The engine broke in backward/);
});

test("engines of 512 MB one after the other have no more memory than two of them", async () => {
  const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const program = at("../../../test/runtimes/engines.mjs");
  const child = spawn(process.execPath, [program, "10", at("../../src/index.js")]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  await new Promise((resolve) => child.on("close", resolve));
  const { engines, peak } = JSON.parse(output);
  assert.is(engines, 10);
  assert.ok(peak > 0.5e9 && peak < 1.5e9, `${peak} bytes`);
});

test.run();
