// The loops that cut pre-tokens against the regular expressions that they stand for, in JavaScript's spelling.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { buildPreTokenizer } from "../../src/data/preTokenizer.ts";
import { gpt2Pattern } from "../../src/data/splitPatterns.ts";

const space = "\\p{White_Space}";
const contractions = "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const words = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const marks = ` ?[^${space}\\p{L}\\p{N}]+`;
const spaces = `${space}+(?!\\P{White_Space})|${space}+`;
const modern = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const styles = [
  ["GPT-2", gpt2Pattern, `'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+|${marks}|${spaces}`],
  [
    "Llama 3",
    modern("{1,3}"),
    `${contractions}|${words}|\\p{N}{1,3}|${marks}[\\r\\n]*|${space}*[\\r\\n]+|${spaces}`,
  ],
  [
    "Qwen 2",
    modern(""),
    `${contractions}|${words}|\\p{N}|${marks}[\\r\\n]*|${space}*[\\r\\n]+|${spaces}`,
  ],
] as const;

// Letters, numbers, spaces and marks of one and two units, halves of pairs, and what contractions are made of.
const unit = fc.constantFrom(
  ..."aZé語ſ'sStTrReEvVmMlLdD19½Ⅷ \t\r\n\u0085\ufeff\u00a0\u2028.-!\u0301",
  ..."𝒜😀🇩",
  "\u{1d7d8}",
  "\ud800",
  "\udc00",
);
const text = fc.oneof(
  fc.array(unit).map((units) => units.join("")),
  fc.string({ unit: "binary" }),
);

for (const [name, spelled, source] of styles) {
  const splitter = buildPreTokenizer({
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: spelled }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, use_regex: false },
    ],
  });
  const cut = (whole: string): string[] => {
    const parts: string[] = [];
    splitter(whole, (part) => parts.push(part));
    return parts;
  };

  test(`the pre-tokens of ${name} are the matches of its expression`, () => {
    fc.assert(
      fc.property(text, (whole) => {
        assert.equal(cut(whole), whole.match(new RegExp(source, "gu")) ?? []);
      }),
      { numRuns: 3000 },
    );
  });

  test(`a run of millions of letters is one pre-token of ${name}`, () => {
    // V8 runs the expression with a stack, which ten million letters of three bytes overflow.
    const run = "語".repeat(4_000_000);
    assert.ok(cut(run)[0] === run);
  });
}

test.run();
