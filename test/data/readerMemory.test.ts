// What reading costs, measured in processes of their own: of a malformed tokenizer.json at most 64 MB above a small good
// one, of a large one 12 times its size + 64 MB, of a text 6 times its size + 64 MB.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const program = fileURLToPath(new URL("readerProgram.js", import.meta.url));
const fixture = fileURLToPath(new URL("../../../test/fixtures/tokenizer.json", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "lowrank-memory-"));
test.after(() => rmSync(root, { recursive: true }));

const MB = 1024 * 1024;

/** The peak of memory in bytes, and what came of the file. */
function read(kind: string, content: string): { peak: number; result: string; seconds: number } {
  const path = join(root, "file");
  writeFileSync(path, content);
  const began = performance.now();
  const { stdout, stderr } = spawnSync(process.execPath, [program, kind, path, fixture], {
    encoding: "utf8",
  });
  assert.is(stderr, "");
  const { peak, result } = JSON.parse(stdout) as { peak: number; result: string };
  return { peak: peak * 1024, result, seconds: (performance.now() - began) / 1000 };
}

const good = readFileSync(fixture, "utf8");
const head = good.trimEnd().slice(0, -1);
interface File {
  added_tokens: unknown[];
  model: { vocab: Record<string, number>; merges: string[] };
}

/** A tokenizer.json of so many tokens, each made by a merge; `last` are the last merges. */
function manyTokens(count: number, last: readonly string[] = []): string {
  const file = JSON.parse(good) as File;
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"];
  const bytes = Object.entries(file.model.vocab).filter(([, id]) => id < 256);
  const vocab: [string, number][] = [...bytes];
  const merges: string[] = [];
  let longest = letters;
  while (vocab.length < count) {
    const longer: string[] = [];
    for (const left of longest) {
      for (const right of letters) {
        if (vocab.length === count) break;
        vocab.push([left + right, vocab.length]);
        merges.push(`${left} ${right}`);
        longer.push(left + right);
      }
    }
    longest = longer;
  }
  Object.assign(file.model, { vocab: Object.fromEntries(vocab), merges: [...merges, ...last] });
  file.added_tokens = [];
  return JSON.stringify(file);
}

const small = read("tokenizer", good).peak;

const malformed: Readonly<Record<string, readonly [() => string, RegExp]>> = {
  "a last merge that makes no token": [() => manyTokens(370_000, ["zz zz"]), /names the token/],
  "millions of empty objects behind which it ends": [
    () => `${head},"x":[${"{},".repeat(2_600_000)}`,
    /no JSON/,
  ],
  "millions of lists in each other": [() => `${head},"x":${"[".repeat(7_900_000)}`, /nesting/],
  "a string without end": [() => `${head},"x":"${"\\u0041".repeat(1_300_000)}`, /no JSON/],
  "hundreds of thousands of added tokens, the last broken": [
    () => {
      const file = JSON.parse(good) as File;
      const content = (i: number) => ({ id: 1000 + i, content: `§${i.toString(36)}` });
      file.added_tokens = [...Array.from({ length: 230_000 }, (_, i) => content(i)), 5];
      return JSON.stringify(file);
    },
    /added_tokens\[230000\] must be an object/,
  ],
};
for (const [name, [make, message]] of Object.entries(malformed)) {
  test(`a tokenizer.json of up to 8 MB with ${name} costs 64 MB at most`, () => {
    const content = make();
    assert.ok(content.length > 6 * MB && content.length < 8.4 * MB, String(content.length));
    const { peak, result, seconds } = read("tokenizer", content);
    assert.match(result, message);
    console.log(name, ((peak - small) / MB).toFixed(0), seconds.toFixed(1));
    assert.ok(peak - small < 64 * MB, `${((peak - small) / MB).toFixed(0)} MB`);
    // Two seconds on an idle machine.
    assert.ok(seconds < 20, `${seconds} s`);
  });
}

test("a tokenizer.json of 500,000 tokens costs twelve times its size and 64 MB at most", () => {
  const content = manyTokens(500_000);
  const { peak, result } = read("tokenizer", content);
  assert.match(result, /tokens/);
  const most = 12 * content.length + 64 * MB;
  assert.ok(peak - small < most, `${((peak - small) / MB).toFixed(0)} MB`);
});

const size = 10 * MB;
const repeated = (text: string) => text.repeat(Math.floor(size / Buffer.byteLength(text)));
const texts: Readonly<Record<string, readonly [string, string]>> = {
  words: ["text", repeated("the word and the fowls of the air came\n")],
  "letters without a space": ["text", repeated("A")],
  "letters of three bytes without a space": ["text", repeated("語")],
  "spelled special tokens": ["text", repeated("<|endoftext|>")],
  "lines of one letter": ["lines", repeated('{"text":"a"}\n')],
};
for (const [name, [kind, content]] of Object.entries(texts)) {
  test(`10 MB of ${name} cost six times their size and 64 MB at most`, () => {
    const begun = read(kind, content.slice(0, 13 * 3 * 39 * 100)).peak;
    const { peak, result } = read(kind, content);
    assert.match(result, /^\d+ tokens$/);
    const most = 6 * Buffer.byteLength(content) + 64 * MB;
    assert.ok(peak - begun < most, `${((peak - begun) / MB).toFixed(0)} MB`);
  });
}

test.run();
