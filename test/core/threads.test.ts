// Workers and the protocol between threads: every job comes to its end, on every number of threads with the
// same result, and no process is kept alive.

import { spawn } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { mayWait } from "../../src/core/features.ts";
import { lateThreads, startThreads, type ThreadPool } from "../../src/core/threads.ts";
import { compileScratch, Job, type ScratchExports } from "./scratch-engine.ts";

/** Generous, because a busy machine may take long to start a worker. */
const timeout = 60_000;
const module = await compileScratch();
const RECORD = 16384;
/** assembly/memory/layout.ts; thread t has the words from 16·(1 + t) on, the second of which is `done`. */
const THREAD_LINES = 4096;

interface Scratch {
  readonly wasm: ScratchExports;
  readonly memory: WebAssembly.Memory;
  readonly pool: ThreadPool;
  /** Runs a job over `count` numbers on zeroed buffers and returns them. */
  run(job: number, count: number, threads: number): number[];
}

async function start(
  count: number,
  options: { workerUrl?: string; timeout?: number; late?: boolean } = {},
): Promise<Scratch> {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 65536, shared: true });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const wasm = exports as unknown as ScratchExports;
  const wanted = { module, memory, wasm, count, timeout, ...options };
  const pool = options.late === true ? lateThreads(wanted) : await startThreads(wanted);
  const words = new Uint32Array(memory.buffer, RECORD);
  return {
    wasm,
    memory,
    pool,
    run(job, numbers, threads) {
      words.fill(0);
      words[0] = numbers;
      for (let i = 0; i < numbers; i++) words[16 + i] = i * i;
      wasm.launch(job, RECORD, threads);
      return [...words.subarray(16, 16 + 2 * numbers)];
    },
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const shared: Scratch = await start(3);

test("the pool has the threads that were asked for", () => {
  assert.is(shared.pool.threads, 3);
  assert.is(shared.wasm.availableThreads(), 3);
});

test("one, two and three threads give the same result, with and without barriers, at every size", () => {
  for (const count of [0, 1, 2, 3, 5, 64, 1001]) {
    for (const job of count === 0 ? [Job.Fill] : [Job.Fill, Job.Rounds]) {
      const expected = shared.run(job, count, 1);
      for (const threads of [2, 3]) assert.equal(shared.run(job, count, threads), expected);
    }
  }
});

test("each thread of a job does its share of the work", () => {
  const before = [0, 1, 2].map((thread) => shared.wasm.workDone(thread));
  shared.run(Job.Fill, 1000, 2);
  const done = [0, 1, 2].map((thread, i) => shared.wasm.workDone(thread) - (before[i] ?? 0));
  assert.equal(done, [500, 500, 0]);
});

test("thousands of jobs on changing numbers of threads all give the result of one thread", () => {
  const fill = shared.run(Job.Fill, 60, 1);
  const rounds = shared.run(Job.Rounds, 60, 1);
  for (let i = 0; i < 3000; i++) {
    const threads = 1 + (i % 3);
    if (i % 20 === 0) assert.equal(shared.run(Job.Rounds, 60, threads), rounds, `job ${i}`);
    else assert.equal(shared.run(Job.Fill, 60, threads), fill, `job ${i}`);
  }
});

test("workers that have gone to sleep are woken, again and again", async () => {
  const expected = shared.run(Job.Rounds, 90, 1);
  for (let i = 0; i < 40; i++) {
    await sleep(3);
    assert.equal(shared.run(Job.Rounds, 90, 1 + (i % 3)), expected, `job ${i}`);
  }
});

test("the main thread sleeps until a worker that takes long has done its slice, or spins if it may not", () => {
  const { wasm, memory, pool } = shared;
  const expected = shared.run(Job.Uneven, 3_000_000, 1)[0];
  for (const wait of [mayWait(memory) ? 1 : 0, 0]) {
    wasm.setThreads(pool.threads, wait);
    for (let i = 0; i < 5; i++) assert.is(shared.run(Job.Uneven, 3_000_000, 2)[0], expected);
  }
  wasm.setThreads(pool.threads, 1);
});

test("more threads than there are count as those that there are", () => {
  const expected = shared.run(Job.Rounds, 50, 1);
  assert.equal(shared.run(Job.Rounds, 50, 64), expected);
});

for (const [name, job] of [
  ["in its slice", Job.Trap],
  ["while others wait at a barrier", Job.TrapBeforeBarrier],
  ["long before others come to a barrier", Job.TrapLongBeforeBarrier],
] as const) {
  test(`a worker that traps ${name} ends the job with a trap, not with silence`, async () => {
    const { run, wasm } = await start(2);
    assert.throws(() => run(job, 8, 2), /unreachable/);
    assert.throws(() => run(Job.Fill, 8, 2), /unreachable/, "and the engine stays broken");
    wasm.shutdown();
  });
}

for (const [name, job] of [
  ["thread 0", Job.TrapOfThread0],
  ["two workers", Job.TrapOfOthers],
] as const) {
  for (const late of [0, 5]) {
    test(`a trap of ${name} lets all threads go, ${late} ms after they came to the barrier`, async () => {
      const { run, wasm, memory } = await start(3);
      assert.throws(() => run(job, 8, 3), /unreachable/);
      // Time for the workers to fall asleep at the barrier.
      await sleep(late);
      wasm.abandon(0);
      const lines = new Int32Array(memory.buffer, THREAD_LINES);
      const deadline = performance.now() + timeout;
      // A worker that leaves after a trap says so in its done word.
      while (lines[33] !== -1 || lines[49] !== -1) {
        assert.ok(performance.now() < deadline, `${lines[33]} ${lines[49]}`);
        await sleep(1);
      }
      wasm.shutdown();
    });
  }
}

test("after shutdown the jobs run on one thread, with the same result", async () => {
  const { run, pool, wasm } = await start(2);
  const expected = run(Job.Rounds, 77, 2);
  pool.shutdown();
  assert.is(pool.threads, 1);
  const before = wasm.workDone(1);
  assert.equal(run(Job.Rounds, 77, 2), expected);
  assert.is(wasm.workDone(1), before);
});

test("a host without workers computes on one thread", async () => {
  const { getBuiltinModule } = process;
  Reflect.set(process, "getBuiltinModule", undefined);
  try {
    const { pool, run } = await start(4);
    assert.is(pool.threads, 1);
    assert.is(run(Job.Fill, 2, 4)[1], 2654435761);
  } finally {
    Reflect.set(process, "getBuiltinModule", getBuiltinModule);
  }
});

test("workers that fail or never report cost threads, not the engine", async () => {
  const failing = await start(2, { workerUrl: "data:text/javascript,throw new Error('refused')" });
  assert.is(failing.pool.threads, 1);
  const silent = await start(2, { workerUrl: "data:text/javascript,", timeout: 20 });
  assert.is(silent.pool.threads, 1);
  assert.is(silent.run(Job.Fill, 2, 2)[1], 2654435761);
});

test("a late pool has one thread, and once started grows without the event loop, with the same results", async () => {
  const { pool, run } = await start(3, { late: true });
  const expected = run(Job.Rounds, 77, 3);
  assert.is(pool.threads, 1);
  pool.start?.();
  const deadline = performance.now() + timeout;
  while (pool.threads < 3 && performance.now() < deadline) {
    assert.equal(run(Job.Rounds, 77, 3), expected);
  }
  assert.is(pool.threads, 3);
  assert.equal(run(Job.Rounds, 77, 3), expected);
  pool.shutdown();
});

test("a late pool counts no worker that fails, and none that comes after shutdown", async () => {
  const workerUrl = "data:text/javascript,throw new Error('refused')";
  const failing = await start(2, { workerUrl, late: true });
  failing.pool.start?.();
  const late = await start(2, { late: true });
  late.pool.start?.();
  late.pool.shutdown();
  await sleep(300);
  for (const { pool } of [failing, late]) assert.is(pool.threads, 1);
});

interface Ending {
  readonly status: number | null;
  readonly output: string;
}

/** Runs a program that imports the engine; it is killed, and has no status, when it does not end by itself. */
function runProgram(body: string): Promise<Ending> {
  const engine = new URL("../../src/core/engine.js", import.meta.url);
  const source = `import { Engine } from ${JSON.stringify(engine.href)};\n${body}`;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", source]);
    const watchdog = setTimeout(() => child.kill("SIGKILL"), timeout);
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (status) => {
      clearTimeout(watchdog);
      resolve({ status, output: output.trim() });
    });
  });
}

const startTwo = "const engine = await Engine.create({ threads: 2 }); console.log(engine.threads);";

test("a program that leaves its workers spinning ends by itself", async () => {
  assert.equal(await runProgram(startTwo), { status: 0, output: "2" });
});

test("a program that leaves its workers asleep ends by itself", async () => {
  const body = `${startTwo} await new Promise((resolve) => setTimeout(resolve, 50));`;
  assert.equal(await runProgram(body), { status: 0, output: "2" });
});

test("threads burn no core while the program idles after its work", async () => {
  const create = new URL("../../src/tensor/create.js", import.meta.url);
  const body = `
    import { zeros } from ${JSON.stringify(create.href)};
    const engine = await Engine.create({ threads: 3 });
    const used = [];
    for (let i = 0; i < 4; i++) {
      engine.run(() => zeros([64, 1024]).exp());
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { user, system } = process.cpuUsage(before);
      used.push((user + system) / 1000);
    }
    console.log(engine.stats().parallelJobs, Math.min(...used));`;
  const { status, output } = await runProgram(body);
  assert.is(status, 0, output);
  const [jobs = 0, milliseconds = 0] = output.split(" ").map(Number);
  assert.is(jobs, 4);
  // Two workers spin for 20000 loads each, 2 ms if a load takes 50 ns, and 20 ms are left to the runtime; the least of
  // four periods, as it may still be compiling in the first. A worker that went on would use all of the 300 ms.
  assert.ok(milliseconds < 22, `${milliseconds} ms of CPU time in 300 ms of idleness`);
});

test("a program that shuts its engine down ends by itself and reports one thread", async () => {
  const body = `${startTwo} engine.shutdown(); console.log(engine.threads);`;
  assert.equal(await runProgram(body), { status: 0, output: "2\n1" });
});

test("a program whose engine has broken ends by itself, whatever its workers were about", async () => {
  const create = new URL("../../src/tensor/create.js", import.meta.url);
  // A row of numbers that lie nowhere: thread 0 traps at once, and the workers may not yet have begun.
  const body = `
    import { zeros } from ${JSON.stringify(create.href)};
    process.getBuiltinModule("node:worker_threads").Worker.prototype.unref = () => {};
    const engine = await Engine.create({ threads: 3 });
    engine.run(() => {
      const x = zeros([64, 1024]);
      engine.i32[(x.address + 44) >>> 2] = -100000;
      try { x.exp(); } catch (error) { console.log(error.name); }
    });`;
  for (let i = 0; i < 3; i++) {
    assert.equal(await runProgram(body), { status: 0, output: "LowrankError" });
  }
});

test("shutdown ends a worker that would keep the process alive", async () => {
  // A worker that nobody unreferenced: the program can only end because the worker does.
  const unref =
    'process.getBuiltinModule("node:worker_threads").Worker.prototype.unref = () => {};';
  const body = `${unref} ${startTwo} engine.shutdown();`;
  assert.equal(await runProgram(body), { status: 0, output: "2" });
});

test.run();
