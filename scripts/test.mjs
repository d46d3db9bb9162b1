// Runs every compiled test file in a process of its own, two at a time, and adds up their counts.
//   node scripts/test.mjs [part of a file name ...]
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const testRoot = join(root, "dist/test");
// A test file that hangs (two threads waiting for each other) is stopped and counted as a failure.
const LONGEST = 15 * 60_000;
const wanted = process.argv.slice(2);
const files = readdirSync(testRoot, { recursive: true })
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();

function runFile(name) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn(process.execPath, [join(testRoot, name)], { cwd: root });
    let output = "";
    const watch = setTimeout(() => child.kill("SIGKILL"), LONGEST);
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (status) => {
      clearTimeout(watch);
      // uvu prints a line "Total: n" and a line "Passed: n" at the end of a run.
      const total = Number(/Total:\s+(\d+)/.exec(output)?.[1] ?? 0);
      const passed = Number(/Passed:\s+(\d+)/.exec(output)?.[1] ?? 0);
      // A file that dies before its summary, or runs nothing, counts as one failure.
      const failed = total === 0 || (status !== 0 && passed === total) ? 1 : total - passed;
      resolve({ name, passed, failed, output, seconds: (Date.now() - started) / 1000 });
    });
  });
}

let passed = 0;
let failed = 0;
const queue = [...files];
async function worker() {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const result = await runFile(name);
    passed += result.passed;
    failed += result.failed;
    const mark = result.failed === 0 ? "ok  " : "FAIL";
    console.log(
      `${mark} ${relative(".", result.name)}  ${result.passed} passed, ${result.seconds.toFixed(1)} s`,
    );
    for (const line of result.output.split("\n")) {
      if (result.failed > 0 || line.startsWith("skipped:")) console.log(`     ${line}`);
    }
  }
}
await Promise.all([worker(), worker()]);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
