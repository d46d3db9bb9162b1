// Each example runs as its first lines say, and shows what it is there to show.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { page, root } from "./markdown.ts";

const workspace = mkdtempSync(join(tmpdir(), "lowrank-examples-"));

function run(name: string): string[] {
  const script = join(root, "dist/examples", `${name}.js`);
  const output = execFileSync(process.execPath, [script], { cwd: workspace, encoding: "utf8" });
  return output.trimEnd().split("\n");
}

/** The number behind a word. */
function numberAfter(word: string, line: string | undefined): number {
  return Number(new RegExp(`${word}\\s+(-?[\\d.e+-]+)`).exec(line ?? "")?.[1] ?? Number.NaN);
}

test("every example says how it is run", () => {
  for (const file of readdirSync(join(root, "examples"))) {
    const script = `dist/examples/${file.replace(/\.ts$/, ".js")}`;
    assert.ok(page(`examples/${file}`).includes(`//   node ${script}\n`), file);
  }
});

test("tensors: the network learns its function, and the gradient is the slope", () => {
  const lines = run("tensors");
  const errors = lines
    .filter((line) => line.startsWith("step"))
    .map((line) => numberAfter("error", line));
  assert.ok(errors.length >= 3);
  assert.ok(errors.at(-1)! < errors[0]! / 100, `errors ${errors}`);
  const check = lines.find((line) => line.startsWith("dw1[0]"));
  const [slope, gradient] = [numberAfter("differences", check), numberAfter("backward", check)];
  // Central differences of step H = 0.01 are off by H²/6 times the third derivative 2·d·d''' + 6·d'·d'', where
  // d = tanh(w·x + b)·v + … − y: with |d| < 3, |v| < 0.6 and derivatives of tanh below 1, 0.77 and 2 that is 1.5e-4.
  // The two values of the function are rounded at about 1e-7, which adds 1e-5.
  assert.ok(Math.abs(gradient) > 1e-3 && Math.abs(slope - gradient) <= 1.6e-4, check ?? "");
});

test("swap-adapters: each adapter is the best on its own text, and the base comes back", () => {
  const lines = run("swap-adapters");
  const row = (start: string): { gospel: number; recipes: number } => {
    const line = lines.find((candidate) => candidate.startsWith(start))?.slice(start.length);
    return { gospel: numberAfter("gospel", line), recipes: numberAfter("recipes", line) };
  };
  const [base, gospel, recipes] = [row("base"), row("gospel  "), row("recipes")];
  assert.ok(gospel.gospel < base.gospel);
  assert.ok(recipes.recipes < base.recipes);
  assert.ok(gospel.gospel < recipes.gospel);
  assert.ok(recipes.recipes < gospel.recipes);
  // Three decimals are printed; merging rounds in the seventh.
  const merged = row("gospel, merged");
  assert.ok(Math.abs(merged.gospel - gospel.gospel) < 0.0015);
  assert.is(lines.at(-1), "unmerged: every bit of the base is back");
});

test("quickstart: writes an adapter in PEFT's layout, and may run again in the same folder", () => {
  run("quickstart");
  run("quickstart");
  assert.equal(readdirSync(join(workspace, "my-adapter")).sort(), [
    "adapter_config.json",
    "adapter_model.safetensors",
  ]);
});

test.after(() => rmSync(workspace, { recursive: true, force: true }));
test.run();
