import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { wrap } from "../../src/cli/format.ts";
import { runCommandLine } from "../../src/cli/run.ts";
import { makeStyle, widthOf } from "../../src/cli/style.ts";
import { caughtTerminal, firstEvent, lowrankHere } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = mkdtempSync(join(tmpdir(), "lowrank-terminal-"));
test.after(() => rmSync(root, { recursive: true, force: true }));

// Sets the title, clears the screen, turns red, hides, rings; the same as C1 codes; a reversed line, a lone return.
const hostile =
  "\x1b]0;title\x07\x1b[2J\x1b[31mall is well\x1b[8m\x9b2J\x9d0;title\x9c\x7f\x85\u202elacot\u2066\u2028\rgone";
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const steering = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;

test("text goes out without its codes, our styles come out as codes", () => {
  const { terminal, written } = caughtTerminal(true);
  const { bold, bad } = terminal.style;
  terminal.line(`${bold(`a${hostile}`)} ${bad("b")}`);
  terminal.note(`${terminal.noteStyle.dim("c")}${hostile}`);
  terminal.rewrite(`${bold("d")}${hostile}`);
  terminal.copy(hostile, terminal.style.dim);
  const { stdout, stderr } = written;
  assert.ok(stdout.startsWith("\x1b[1ma\ufffd]0;title\ufffd\ufffd[2J"), JSON.stringify(stdout));
  assert.match(stdout, "gone\x1b[22m \x1b[31mb\x1b[39m\n\r\x1b[1md\x1b[22m");
  assert.match(stdout, "gone\x1b[K\x1b[2m\ufffd]0;");
  assert.ok(stderr.includes("\x1b[2mc\x1b[22m\ufffd]0;title"), JSON.stringify(stderr));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const ours = /\x1b\[(?:1|22|2|31|39)m|\r(?=\x1b\[1md)|\x1b\[K/g;
  for (const text of [stdout, stderr]) assert.not.match(text.replace(ours, ""), steering);
});

test("no text can spell a style: its marks are of this process alone", () => {
  const marks = makeStyle(true).bold("x");
  const stranger = marks.replace(/[0-9a-z]{3}(?=:)/, "___");
  const { terminal, written } = caughtTerminal(true);
  terminal.line(stranger);
  assert.not.match(written.stdout, "\x1b[1m");
});

test("line ends of Windows are line ends, a return alone is not", () => {
  const { terminal, written } = caughtTerminal(true);
  terminal.write("a\r\nb\rc\n");
  assert.is(written.stdout, "a\nb\ufffdc\n");
});

test("a model's text goes to a file as it is, and nothing else does", () => {
  const { terminal, written } = caughtTerminal(false);
  terminal.copy(hostile);
  assert.is(written.stdout, hostile);
  terminal.line(hostile);
  assert.not.match(written.stdout.slice(hostile.length), steering);
});

test("a line of JSON holds no code and means the same", () => {
  const { terminal, written } = caughtTerminal(true);
  terminal.event({ event: "warning", message: hostile });
  assert.not.match(written.stdout, steering);
  assert.equal(JSON.parse(written.stdout), { event: "warning", message: hostile });
});

test("wrapping does not count marks, nor cut them", () => {
  const words = fc.array(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1, maxLength: 30 });
  const style = makeStyle(true);
  fc.assert(
    fc.property(words, fc.integer({ min: 10, max: 40 }), (list, width) => {
      const plain = list.join(" ");
      const marked = list.map((word, i) => (i % 2 ? style.bold(word) : word)).join(" ");
      const { terminal, written } = caughtTerminal(true);
      for (const line of wrap(marked, width)) {
        assert.ok(widthOf(line) <= width);
        terminal.line(line);
      }
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      const shown = written.stdout.replace(/\x1b\[(?:1|22)m/g, "");
      assert.equal(shown.trimEnd().split("\n"), wrap(plain, width));
      assert.is(written.stdout.split("\x1b[1m").length - 1, Math.floor(list.length / 2));
    }),
  );
});

function safetensors(header: object): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(4)]);
}

test("inspect shows names and metadata without codes, and forged lines as what they are", async () => {
  const path = join(root, `x${"\x1b[2J"}.safetensors`);
  const name = `w${hostile}\n  In all      0 tensors`;
  const tensor = { dtype: "F32", shape: [1], data_offsets: [0, 4] };
  writeFileSync(path, safetensors({ __metadata__: { [`k${hostile}`]: hostile }, [name]: tensor }));
  const { terminal, written } = caughtTerminal(true);
  assert.is(await runCommandLine(["inspect", path], terminal), 0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  assert.not.match(written.stdout.replace(/\x1b\[(?:2|22)m/g, ""), steering);
  assert.is(written.stdout.split("\n").filter((line) => /^ {2}\S*In all/.test(line)).length, 1);
  const json = await lowrankHere(["inspect", path, "--json"]);
  assert.not.match(json.stdout, steering);
  assert.equal((firstEvent(json)["tensors"] as { name: string }[])[0]?.name, name);
});

test("errors of every command show what a file says without its codes", async () => {
  const model = join(root, "model");
  writeTinyModel(model);
  const small = ["--model", model, "--block-size", "16"];
  const file = (name: string, content: string) => {
    writeFileSync(join(root, name), content);
    return join(root, name);
  };
  const lines = file("x.jsonl", `{"text": ${hostile}}`);
  const keys = file("y.jsonl", JSON.stringify({ [hostile]: 1 }));
  const config = join(root, "config");
  writeTinyModel(config);
  writeFileSync(join(config, "config.json"), JSON.stringify({ model_type: hostile }));
  const commands = [
    ["train", ...small, "--data", lines, "--out", join(root, "out")],
    ["train", ...small, "--data", keys, "--out", join(root, "out")],
    ["eval", ...small, "--data", lines, "--all"],
    ["generate", "--model", config, "--prompt", "x"],
    ["generate", "--model", hostile],
    ["inspect", hostile],
    ["inspect", config],
    [hostile],
    ["eval", `--${hostile}`],
  ];
  for (const words of commands) {
    for (const extra of [[], ["--json"]]) {
      const { code, stdout, stderr } = await lowrankHere([...words, ...extra]);
      assert.ok(code !== 0, words[0]);
      assert.not.match(stdout + stderr, steering);
      assert.match(stderr, /^lowrank: ./);
    }
  }
});

test("a sample is shown without codes that the text may hold", async () => {
  const model = join(root, "sampled");
  writeTinyModel(model);
  const data = join(root, "codes.txt");
  writeFileSync(data, bundledText().slice(0, 6000).replaceAll(" the ", ` ${hostile} `));
  const words = ["train", "--model", model, "--block-size", "16", "--steps", "1"];
  const { code, stdout, stderr } = await lowrankHere([
    ...words,
    ...["--data", data, "--out", join(root, "sample"), "--max-new-tokens", "4"],
  ]);
  assert.is(code, 0, stderr);
  assert.not.match(stdout + stderr, steering);
});

test.run();
