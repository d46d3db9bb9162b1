// A module made of the real threads.ts and launch.ts of the engine and of jobs that exist for the tests of threads only.

import { readFileSync } from "node:fs";
import asc from "assemblyscript/asc";

/** What the jobs do. */
export const Job = {
  /** Fills a slice of `count` numbers. */
  Fill: 0,
  /** 40 rounds over two buffers; each reads what other threads wrote in the round before. */
  Rounds: 1,
  /** Thread 1 works long, the others not at all. */
  Uneven: 2,
  /** Thread 1 traps. */
  Trap: 3,
  /** Thread 1 traps while the others wait for it at a barrier. */
  TrapBeforeBarrier: 4,
  /** Thread 1 traps long before the others come to the barrier. */
  TrapLongBeforeBarrier: 5,
  /** Thread 0 traps while the others wait for it at a barrier. */
  TrapOfThread0: 6,
  /** All threads but thread 0 trap, while it waits for them at a barrier. */
  TrapOfOthers: 7,
} as const;

const execute = `
import { addWork, barrier } from "../threads/threads";
// record: count, then from byte 64 on two buffers of count numbers each
export function execute(job: i32, record: usize, thread: i32, threads: i32): void {
  if (job == ${Job.Trap}) {
    if (thread == 1) unreachable();
    return;
  }
  if (job == ${Job.TrapOfThread0} || job == ${Job.TrapOfOthers}) {
    if ((thread == 0) == (job == ${Job.TrapOfThread0})) unreachable();
    barrier(thread, threads);
    return;
  }
  if (job == ${Job.TrapBeforeBarrier} || job == ${Job.TrapLongBeforeBarrier}) {
    if (thread == 1) unreachable();
    if (job == ${Job.TrapLongBeforeBarrier}) {
      // Nobody writes this word: the wait ends after 300 ms.
      atomic.wait<i32>(record + 60, load<i32>(record + 60), 300000000);
    }
    barrier(thread, threads);
    return;
  }
  const count = load<i32>(record);
  if (job == ${Job.Uneven}) {
    let x: u32 = 1;
    if (thread == threads - 1) {
      for (let i = 0; i < count; i++) x = x * 1664525 + <u32>i;
      store<u32>(record + 64, x);
    }
    return;
  }
  const from = count * thread / threads;
  const to = count * (thread + 1) / threads;
  if (job == ${Job.Fill}) {
    for (let i = from; i < to; i++) store<u32>(record + 64 + (<usize>i << 2), <u32>i * 2654435761);
  } else {
    for (let round = 0; round < 40; round++) {
      const source = record + 64 + <usize>((round & 1) * count << 2);
      const target = record + 64 + <usize>((~round & 1) * count << 2);
      for (let i = from; i < to; i++) {
        const far = load<u32>(source + (<usize>((i + (count >> 1) + 1) % count) << 2));
        store<u32>(target + (<usize>i << 2), load<u32>(source + (<usize>i << 2)) * 3 + far);
      }
      barrier(thread, threads);
    }
  }
  addWork(thread, to - from);
}
`;

const index = `
export {
  abandon, availableThreads, gatherThreads, setThreads, shutdown, threadReady, workDone,
} from "./threads/threads";
export { launch, serve } from "./tape/launch";
`;

export interface ScratchExports {
  abandon(thread: number): void;
  availableThreads(): number;
  gatherThreads(): number;
  launch(job: number, record: number, threads: number): void;
  setThreads(count: number, mayWait: number): void;
  shutdown(): void;
  threadReady(thread: number): number;
  workDone(thread: number): number;
}

/** Compiles the module, as the package's own modules are compiled. */
export async function compileScratch(): Promise<WebAssembly.Module> {
  const assembly = new URL("../../../assembly/", import.meta.url);
  const sources: Record<string, string> = {
    "index.ts": index,
    "tape/execute.ts": execute,
    ...Object.fromEntries(
      ["tape/launch.ts", "threads/threads.ts", "memory/layout.ts"].map((name) => [
        name,
        readFileSync(new URL(name, assembly), "utf8"),
      ]),
    ),
  };
  let bytes: Uint8Array | null = null;
  const options =
    "index.ts --outFile scratch.wasm --optimizeLevel 3 --runtime stub --noAssert --use abort= " +
    "--enable simd --enable threads --importMemory --initialMemory 2 --maximumMemory 65536 --sharedMemory";
  const { error, stderr } = await asc.main(options.split(" "), {
    readFile: (name: string) => sources[name] ?? null,
    writeFile: (_name: string, content: Uint8Array | string) => {
      if (typeof content !== "string") bytes = content;
    },
    listFiles: () => [],
  });
  if (error !== null || bytes === null) throw new Error(`asc failed: ${stderr.toString()}`);
  return new WebAssembly.Module(bytes);
}
