import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Pattern } from "../../src/adapters/pattern.ts";
import { UsageError } from "../../src/core/error.ts";

const fixture = new URL("../../../test/fixtures/peft/matching.json", import.meta.url);
const oracle: { texts: string[]; patterns: [string, string[]][] } = JSON.parse(
  readFileSync(fixture, "utf8"),
);

for (const [source, matching] of oracle.patterns) {
  test(`the pattern ${JSON.stringify(source)} matches what Python says it matches`, () => {
    const pattern = new Pattern(source, "test");
    assert.equal(
      oracle.texts.filter((text) => pattern.matches(text)),
      matching,
    );
  });
}

for (const [what, source] of [
  ["a quantifier within a quantifier", "(a+)+$"],
  ["a quantified alternative of quantified parts", "(x|a*)*b"],
  ["a deeper quantifier within a quantifier", "((ab*)c){2,}"],
  ["a backreference", "(a)\\1"],
  ["a named backreference", "(?P<n>a)(?P=n)"],
  ["an atomic group", "(?>a+)b"],
  ["a possessive quantifier", "a++b"],
  ["a conditional", "(a)?(?(1)b|c)"],
  ["verbose mode", "(?x) a b"],
  ["flags in the middle", "a(?i)b"],
  ["scoped flags", "(?i:a)"],
  ["a comment", "a(?#note)b"],
  ["an unknown escape", "\\q"],
  ["a missing bracket", "[a-"],
  ["a reversed range", "[z-a]"],
  ["a missing parenthesis", "(a"],
  ["an unmatched parenthesis", "a)"],
  ["a quantifier with nothing before it", "*a"],
  ["a doubled quantifier", "a*{2}"],
  ["a backslash at the end", "a\\"],
  ["a large count", "a{5000}"],
  ["a reversed count", "a{3,1}"],
  ["a look-behind of varying length", "(?<=a+)b"],
  ["deep nesting", `${"(".repeat(200)}a${")".repeat(200)}`],
  ["more than 1,000 characters", "a".repeat(1001)],
] as const) {
  test(`a pattern with ${what} is refused`, () => {
    assert.throws(
      () => new Pattern(source, "targetModules"),
      (error: unknown) =>
        error instanceof UsageError && /^targetModules is (the|a) pattern /.test(error.message),
    );
  });
}

test("patterns on which a backtracking matcher runs away are answered at once", () => {
  const text = `${"a".repeat(150)}!`;
  const started = performance.now();
  for (const source of [
    `${".*".repeat(200)}b`,
    "(a|a)".repeat(150),
    `${"(?=.*".repeat(40)}b${")".repeat(40)}`,
  ]) {
    assert.not(new Pattern(source, "test").matches(text));
  }
  // Backtracking would take more than 2^100 steps.
  assert.ok(performance.now() - started < 5000);
});

test("any string is a pattern or a UsageError, and any pattern can be asked", () => {
  const piece = fc.constantFrom(
    ...["(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "^", "$", "\\", ".", "-", ",", "1", "2"],
    ...["(?=", "(?!", "(?<=", "(?:", "(?P<n>", "\\d", "\\b", "a", "b"],
  );
  const source = fc.array(fc.oneof(piece, fc.string({ maxLength: 2 })), { maxLength: 15 });
  fc.assert(
    fc.property(source, fc.string({ maxLength: 20 }), (parts, text) => {
      try {
        new Pattern(parts.join(""), "test").matches(text);
      } catch (error) {
        assert.instance(error, UsageError);
      }
    }),
    { numRuns: 5000 },
  );
});

test("where the host's RegExp reads a pattern alike, both give the same answer", () => {
  const { node } = fc.letrec<{ node: string; atom: string }>((tie) => ({
    atom: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w"),
      tie("node").map((n) => `(?:${n})`),
    ),
    node: fc.oneof(
      { depthSize: "small" },
      tie("atom"),
      fc.tuple(tie("atom"), tie("node")).map((parts) => parts.join("")),
      fc.tuple(tie("node"), tie("node")).map((parts) => `(?:${parts.join("|")})`),
      fc
        .tuple(
          fc.constantFrom("a", "b", "[ab]", "."),
          fc.constantFrom("*", "+", "?", "{2}", "*?", "{1,2}"),
        )
        .map((parts) => parts.join("")),
      tie("node").map((n) => `(?=${n})`),
      tie("node").map((n) => `(?!${n})`),
    ),
  }));
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(node, text, (source, subject) => {
      assert.is(
        new Pattern(source, "test").matches(subject),
        new RegExp(`^(?:${source})$`).test(subject),
      );
    }),
    { numRuns: 2000 },
  );
});

test("a name as a pattern matches the end of a path as any pattern does", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", ".", "-", "\n"), maxLength: 12 });
  const name = fc.string({ unit: fc.constantFrom("a", "b", ".", "-"), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(name, letters, (source, path) => {
      const starts = [0, ...[...path].flatMap((char, i) => (char === "." ? [i + 1] : []))];
      const general = new Pattern(`(?:${source})`, "x").ends(path, starts).has(path.length);
      assert.is(new Pattern(source, "x").matchesEnd(path, starts), general);
    }),
    { numRuns: 2000 },
  );
});

test.run();
