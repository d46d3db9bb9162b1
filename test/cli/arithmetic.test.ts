// Going on with a run under an arithmetic that gives other bits: the command says so, or refuses where they were to be the
// same.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { eventsOf, type Finished, lastEvent, lowrank } from "../support/command.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = temporaryPaths("lowrank-arithmetic")();
const text = join(root, "text.txt");
mkdirSync(root);
writeTinyModel(join(root, "model"));
writeFileSync(text, bundledText().slice(0, 20000));

const recordOf = (out: string): string => join(root, out, "checkpoint/run.json");
const read = (out: string): Record<string, unknown> =>
  JSON.parse(readFileSync(recordOf(out), "utf8"));
const quiet = ["--json", "--max-new-tokens", "0", "--threads", "1"];

/** A run of a few steps. */
async function start(out: string, words: readonly string[] = []): Promise<void> {
  const sizes = ["--batch-size", "1", "--block-size", "16", "--steps", "4"];
  const inputs = ["--model", join(root, "model"), "--data", text, "--out", join(root, out)];
  const result = await lowrank(["train", ...inputs, ...sizes, ...quiet, ...words]);
  assert.is(result.code, 0, result.stderr);
}

/** Goes on with a run whose record says something else; keys that are undefined are left out. */
function resume(out: string, others: Readonly<Record<string, unknown>>): Promise<Finished> {
  writeFileSync(recordOf(out), JSON.stringify({ ...read(out), ...others }));
  return lowrank(["train", "--resume", "--out", join(root, out), ...quiet]);
}

const warningsOf = (result: Finished): unknown[] =>
  eventsOf(result)
    .filter(({ event }) => event === "warning")
    .map(({ message }) => message);

test("the record names what makes the bits, and another is said when the run goes on", async () => {
  await start("run");
  const record = read("run");
  assert.is(record["revision"], "1");
  const own = String(record["multiplyAdds"]);
  assert.match(own, /^(?:un)?fused$/);
  const other = own === "fused" ? "unfused" : "fused";
  for (const [others, said] of [
    [{}, []],
    [{ multiplyAdds: other }, [`with ${other} multiply-adds, and goes on with ${own} ones`]],
    [
      { multiplyAdds: own, revision: "2" },
      ["with revision 2 of the engine, and goes on with revision 1"],
    ],
    [
      { revision: "1", build: "other" },
      [`with the other build, and goes on with the ${record["build"]} one`],
    ],
    // As records were before.
    [{ build: record["build"], multiplyAdds: undefined, revision: undefined }, []],
  ] as const) {
    const result = await resume("run", others);
    assert.is(result.code, 0, result.stderr);
    assert.equal(
      warningsOf(result),
      said.map(
        (how) => `The run was started ${how}: the result is as good, but not the same to the bit.`,
      ),
    );
  }
});

test("a run with --deterministic does not go on with other bits, and is left as it is", async () => {
  await start("same", ["--deterministic"]);
  const others = { revision: "2" };
  const result = await resume("same", others);
  assert.is(result.code, 1);
  assert.match(
    String(lastEvent(result)["message"]),
    /revision 2 .*--deterministic it cannot go on/,
  );
  assert.is(read("same")["revision"], "2");
  const again = await resume("same", { revision: "1" });
  assert.is(again.code, 0, again.stderr);
  assert.equal(warningsOf(again), []);
});

test.run();
