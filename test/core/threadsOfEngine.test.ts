// The threads of an engine: those of a given number are waited for; without one, workers are started when there has been
// work worth their start, not before, and not in vain.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError } from "../../src/core/error.ts";
import { defaultThreads } from "../../src/core/features.ts";
import { WORTH_WORKERS } from "../../src/core/threads.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";

/** Generous, because a busy machine may take long to start a worker. */
const timeout = 60_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("the package's own module shares a product between two threads and gives the bits of one", async () => {
  const product = async (
    threads: number,
  ): Promise<{ bits: Uint32Array; work: readonly number[] }> => {
    const engine = await Engine.create({ deterministic: true, threads });
    const values = Float32Array.from({ length: 128 * 128 }, (_, i) => ((i * 7919) % 1000) / 997);
    const result = engine.run(() => {
      const x = tensor(values, { shape: [128, 128] });
      return x.matmul(x).toArray().slice();
    });
    return { bits: new Uint32Array(result.buffer), work: engine.stats().threadWork };
  };
  const one = await product(1);
  const two = await product(2);
  assert.equal(two.bits, one.bits);
  assert.is(one.work.length, 1);
  assert.ok(two.work.length === 2 && two.work.every((amount) => amount > 0), `${two.work}`);
});

/** What `fn` returns, and how many workers were started meanwhile; `refuse` forbids them. */
async function countWorkers<T>(
  fn: () => Promise<T>,
  { refuse }: { readonly refuse: boolean } = { refuse: false },
): Promise<{ result: T; workers: number }> {
  const host = process.getBuiltinModule("node:worker_threads");
  const { Worker } = host;
  let workers = 0;
  host.Worker = class extends Worker {
    constructor(url: URL) {
      workers++;
      if (refuse) throw new Error("refused");
      super(url);
    }
  };
  try {
    return { result: await fn(), workers };
  } finally {
    host.Worker = Worker;
  }
}

/** The bits of a product that several threads share, 4 million sums of products. */
function largeProduct(engine: Engine): Uint32Array {
  return engine.run(() =>
    scope(() => {
      const x = tensor(
        Float32Array.from({ length: 160 * 160 }, (_, i) => ((i * 7919) % 1000) / 997),
        { shape: [160, 160] },
      );
      return new Uint32Array(x.matmul(x).toArray().slice().buffer);
    }),
  );
}

const unshared = (engine: Engine): number => engine.stats().unsharedNanoseconds;

/** Multiplies until the work would have been worth workers. */
function untilWorth(engine: Engine): void {
  while (unshared(engine) < WORTH_WORKERS) largeProduct(engine);
}

test("an engine of no given number of threads starts none for small ops, however many", async () => {
  const { result, workers } = await countWorkers(async () => {
    const engine = await Engine.create();
    const x = engine.run(() => tensor(new Float32Array(64), { shape: [8, 8] }));
    for (let i = 0; i < 20_000; i++) engine.run(() => scope(() => void x.matmul(x).exp()));
    await sleep(20);
    return [engine.threads, unshared(engine)];
  });
  assert.equal(result, [1, 0]);
  assert.is(workers, 0);
});

test("an engine of no given number starts its threads when work for them was done, and keeps its bits", async () => {
  const wanted = defaultThreads();
  const { result: engine, workers } = await countWorkers(async () => {
    const engine = await Engine.create();
    const bits = largeProduct(engine);
    assert.is(engine.threads, 1);
    untilWorth(engine);
    // Without a turn of the event loop.
    const deadline = performance.now() + timeout;
    while (engine.threads < wanted && performance.now() < deadline) {
      assert.equal(largeProduct(engine), bits);
    }
    assert.equal(largeProduct(engine), bits);
    return engine;
  });
  assert.is(workers, wanted - 1);
  assert.is(engine.threads, wanted);
  assert.is(engine.stats().parallelJobs > 0, wanted > 1);
  engine.shutdown();
  assert.is(engine.threads, 1);
});

test("an engine that is shut down before its threads were started, or right after, has one", async () => {
  const before = await countWorkers(async () => {
    const engine = await Engine.create();
    engine.shutdown();
    untilWorth(engine);
    return engine;
  });
  assert.is(before.workers, 0);
  const after = await countWorkers(async () => {
    const engine = await Engine.create();
    untilWorth(engine);
    engine.shutdown();
    await sleep(300);
    return engine;
  });
  assert.is(after.workers, defaultThreads() - 1);
  for (const { result: engine } of [before, after]) {
    assert.equal(largeProduct(engine), largeProduct(await Engine.create({ threads: 1 })));
    assert.is(engine.threads, 1);
    assert.is(engine.stats().parallelJobs, 0);
  }
});

test("an engine whose host refuses workers when they are wanted goes on with one thread", async () => {
  const { result, workers } = await countWorkers(
    async () => {
      const engine = await Engine.create();
      untilWorth(engine);
      largeProduct(engine);
      return engine.threads;
    },
    { refuse: true },
  );
  assert.is(result, 1);
  assert.is(workers, Math.min(1, defaultThreads() - 1));
});

test("an engine waits for the threads of a given number", async () => {
  const { result, workers } = await countWorkers(async () => {
    const engine = await Engine.create({ threads: 3 });
    const { threads } = engine;
    engine.shutdown();
    return threads;
  });
  assert.is(result, 3);
  assert.is(workers, 2);
});

test("a step captured on one thread has the same bits when threads join it", async () => {
  const engine = await Engine.create();
  engine.run(() => {
    const x = tensor(
      Float32Array.from({ length: 160 * 160 }, (_, i) => ((i * 31) % 97) / 97),
      {
        shape: [160, 160],
        requiresGrad: true,
      },
    );
    const step = capture(() => {
      const loss = x.matmul(x).exp().mean();
      loss.backward();
      return loss;
    });
    const gradient = (): Uint32Array => {
      x.zeroGrad();
      step();
      return new Uint32Array(x.grad!.slice().buffer);
    };
    const expected = gradient();
    const deadline = performance.now() + timeout;
    while (engine.threads < defaultThreads() && performance.now() < deadline) {
      assert.equal(gradient(), expected);
    }
    for (let i = 0; i < 3; i++) assert.equal(gradient(), expected);
  });
  assert.is(engine.threads, defaultThreads());
  engine.shutdown();
});

test("threads that come during a backward pass for which memory is short leave out nothing", async () => {
  const K = 512;
  /** The gradients with `pages` of memory at most, null when they do not suffice; the second thread joins after the first op. */
  const gradients = async (pages: number): Promise<readonly Float32Array[] | null> => {
    const engine = await Engine.create({
      deterministic: true,
      maximumMemory: pages * 65536,
      threads: 2,
    });
    /** Threads that jobs may use now, and that may come (assembly/threads/threads.ts). */
    const setPool = (available: number, expected: number): void => {
      engine.i32[4096 / 4] = available;
      engine.i32[4096 / 4 + 3] = expected;
    };
    try {
      return engine.run(() => {
        setPool(1, 1);
        const weights = [0, 1].map((seed) =>
          normal([K, K], { std: 0.05, seed, persistent: true, requiresGrad: true }),
        );
        scope(() => {
          let x = normal([64, K], { seed: 9 });
          for (const w of weights) x = linear(x, w).tanh();
          const loss = x.sum();
          setPool(1, 2);
          loss.backward();
        });
        assert.is(engine.threads, 2);
        return weights.map((w) => w.grad!.slice());
      });
    } catch (error) {
      if (error instanceof MemoryError) return null;
      throw error;
    } finally {
      engine.shutdown();
    }
  };
  const expected = await gradients(1024);
  // From too little memory for the pass on one thread to enough for two.
  const found = [];
  for (let pages = 90; pages < 132; pages += 3) found.push(await gradients(pages));
  assert.ok(found.includes(null));
  const complete = found.filter((one) => one !== null);
  assert.ok(complete.length > 3);
  for (const one of complete) assert.equal(one, expected);
});

test.run();
