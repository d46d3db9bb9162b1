import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { eventsOf, lowrank, lowrankHere } from "../support/command.ts";

const manifest = new URL("../../../package.json", import.meta.url);

test("--version prints the version of package.json", async () => {
  const { code, stdout } = await lowrank(["--version"]);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  assert.is(code, 0);
  assert.is(stdout, `${version}\n`);
});

test("--help lists the commands, and each command has a help of its own", async () => {
  const { code, stdout } = await lowrankHere(["--help"]);
  assert.is(code, 0);
  for (const command of ["train", "eval", "generate", "merge", "inspect"]) {
    assert.match(stdout, new RegExp(`^  ${command} `, "m"));
    const help = await lowrankHere([command, "--help"]);
    assert.is(help.code, 0);
    assert.match(help.stdout, `lowrank ${command}`);
    assert.match(help.stdout, "--json");
    assert.is((await lowrankHere(["help", command])).stdout, help.stdout);
  }
});

test("help fits into 80 columns and has no colour when it is not printed to a terminal", async () => {
  const { stdout } = await lowrank(["train", "--help"]);
  for (const line of stdout.split("\n")) assert.ok(line.length < 80, line);
  assert.not.match(stdout, "\x1b");
});

const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["no command", [], /Usage/],
  ["an unknown command", ["trian"], /There is no command "trian"\. Did you mean train\?/],
  ["an option before the command", ["--steps", "3"], /command comes first/],
  ["an unknown option", ["train", "--stpes", "3"], /no option --stpes\. Did you mean --steps\?/],
  ["an unknown short option", ["train", "-x"], /no option -x/],
  ["an option of another command", ["merge", "--steps", "3"], /no option --steps/],
  ["a missing value", ["train", "--steps"], /--steps needs a value: --steps N/],
  [
    "an option in the place of a value",
    ["train", "--out", "--json"],
    /--out needs a value .*--json follows/,
  ],
  ["a value for a switch", ["train", "--full=yes"], /--full takes no value/],
  ["an argument without an option", ["train", "book.txt"], /"book\.txt" belongs to no option/],
  [
    "a number that is none",
    ["train", "--lr", "fast"],
    /--lr is "fast", but must be a number of at least 0/,
  ],
  [
    "a number out of its range",
    ["train", "--dropout", "1"],
    /--dropout .* of at least 0 and below 1/,
  ],
  ["a rank of 0", ["train", "--r", "0"], /--r is "0", but must be a whole number of at least 1/],
  [
    "a broken number of steps",
    ["train", "--steps", "1.5"],
    /--steps is "1\.5", but must be a whole number/,
  ],
  [
    "a batch of a million rows",
    ["train", "--batch-size", "1000000"],
    /--batch-size .*1048576 tokens/,
  ],
  [
    "more rows than a batch has tokens",
    ["train", "--batch-size", "10000000"],
    /--batch-size .* at most 1048576/,
  ],
  ["a rank for no machine", ["train", "--r", "100000000"], /--r .* at most 16384/],
  ["steps for no lifetime", ["train", "--steps", "9000000000000"], /--steps .* at most 1000000000/],
  ["a warm-up as long", ["train", "--warmup", "9000000000000"], /--warmup .* at most/],
  ["too many batches", ["train", "--accumulate", "100000000"], /--accumulate .* at most 1000000/],
  ["too long a row", ["eval", "--block-size", "1000000000"], /--block-size .* at most 1048576/],
  ["a batch of as many rows", ["eval", "--batch-size", "1000000"], /--batch-size .*1048576 tokens/],
  ["too long a sample", ["train", "--max-new-tokens", "100000000"], /--max-new-tokens .* at most/],
  ["too long a text", ["generate", "--max-new-tokens", "100000000"], /--max-new-tokens .* at most/],
  [
    "rare checkpoints",
    ["train", "--checkpoint-every", "9000000000000"],
    /--checkpoint-every .* at/,
  ],
  ["rare evaluations", ["train", "--eval-every", "9000000000000"], /--eval-every .* at most/],
  ["infinity", ["train", "--alpha", "Infinity"], /--alpha is "Infinity"/],
  [
    "a word that is not among the choices",
    ["train", "--schedule", "cosin"],
    /one of constant, linear, cosine/,
  ],
  ["an empty list of targets", ["train", "--targets", "q_proj,,v_proj"], /--targets/],
  ["a merge without an adapter", ["merge", "--out", "x"], /--adapter DIR/],
  ["a merge without a place", ["merge", "--adapter", "x"], /--out DIR/],
  ["two things to inspect", ["inspect", "a", "--adapter", "b"], /One thing/],
];

for (const [what, words, message] of wrong) {
  test(`${what} is wrong usage: exit code 2, a sentence, nothing on standard output`, async () => {
    const { code, stdout, stderr } = await lowrankHere(words);
    assert.is(code, 2);
    assert.match(stderr, message);
    assert.not.match(stderr, /\n {4}at /);
    assert.is(stdout, words.includes("--json") ? stdout : "");
  });
}

test("with --json wrong usage is an event as well", async () => {
  const result = await lowrank(["train", "--json", "--stpes", "3"]);
  assert.is(result.code, 2);
  const [event] = eventsOf(result);
  assert.is(event?.event, "error");
  assert.match(String(event?.["message"]), "--steps");
});

test.run();
