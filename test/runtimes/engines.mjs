// Engines one after the other in one process, each with 512 MB of numbers: the most memory that the process had. Half of
// them are closed by close(), half by the next init(); those with two threads have workers, which hold the memory as well.
//   engines.mjs [how many] [the package's module]
const [count = "50", module = "lowrank"] = globalThis.process.argv.slice(2);
const lowrank = await import(module);
const { process } = globalThis;

const kept = [];
let peak = 0;
for (let i = 0; i < Number(count); i++) {
  const engine = await lowrank.init({ threads: 1 + (i % 2) });
  // The tensor lives on: it is the engine that goes.
  kept.push(lowrank.zeros([2 ** 27], { persistent: true }));
  peak = Math.max(peak, process.memoryUsage().rss);
  if (i % 4 < 2) engine.close();
}
console.log(JSON.stringify({ engines: kept.length, peak }));
