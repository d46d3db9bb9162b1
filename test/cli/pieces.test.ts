import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readArguments } from "../../src/cli/arguments.ts";
import { bytes, clock, duration, percent, wrap } from "../../src/cli/format.ts";
import { invocation } from "../../src/cli/invocation.ts";
import { movingAverage, plot, ticks } from "../../src/cli/plot.ts";
import { makeStyle, printable, wantsColour, widthOf } from "../../src/cli/style.ts";
import { groupTensors, ranges } from "../../src/cli/tensorTable.ts";
import { runOptions, toWords } from "../../src/cli/trainOptions.ts";

const plain = makeStyle(false);
const series = fc
  .array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 2, maxLength: 300 })
  .map((values) => values.map((y, i): [number, number] => [i + 1, y]));

test("a plot has the size that was asked for, whatever the values", () => {
  fc.assert(
    fc.property(
      series,
      fc.integer({ min: 40, max: 100 }),
      fc.integer({ min: 4, max: 12 }),
      (points, columns, rows) => {
        const lines = plot(points, { columns, rows, yLabel: "loss", xLabel: "step", style: plain });
        assert.is(lines.length, rows + 3);
        for (const line of lines) assert.ok(widthOf(line) <= columns, `${widthOf(line)}: ${line}`);
      },
    ),
  );
});

test("a range too small for a power of ten is no range", () => {
  const options = { columns: 40, rows: 4, yLabel: "loss", xLabel: "step", style: plain };
  for (const end of [5e-324, -1e-323, 1e-310, 1e-300]) {
    for (const start of [0, 2 * end]) {
      const points = [start, end].map((y, i): [number, number] => [i + 1, y]);
      assert.is(plot(points, options).length, 7);
    }
  }
});

test("a falling line begins in the upper left corner and ends in the lower right one", () => {
  const points = Array.from({ length: 60 }, (_, i): [number, number] => [i, 60 - i]);
  const lines = plot(points, {
    columns: 50,
    rows: 6,
    yLabel: "loss",
    xLabel: "step",
    style: plain,
  });
  const cells = lines.slice(1, 7).map((line) => line.slice(line.search(/[│┤]/) + 1));
  assert.match(cells[0] ?? "", /^[\u2801-\u28ff]/);
  assert.ok((cells[5] ?? "").length > (cells[0] ?? "").length);
  assert.is(Math.max(...cells.map((line) => line.length)), (cells[5] ?? "").length);
});

test("ticks are round, lie inside the range and ascend", () => {
  const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(value, fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (low, width) => {
      const high = low + width;
      const marks = ticks(low, high, 4);
      assert.ok(marks.length >= 1 && marks.length <= 9, String(marks.length));
      for (const [i, mark] of marks.entries()) {
        assert.ok(mark >= low - width * 1e-6 && mark <= high + width * 1e-6);
        if (i > 0) assert.ok(mark > (marks[i - 1] ?? 0));
      }
    }),
  );
});

test("a moving average keeps a constant and lies within its values", () => {
  assert.equal(movingAverage([2, 2, 2, 2], 3), [2, 2, 2, 2]);
  fc.assert(
    fc.property(series, (points) => {
      const values = points.map(([, y]) => y);
      for (const mean of movingAverage(values, 5)) {
        assert.ok(mean >= Math.min(...values) - 1e-9 && mean <= Math.max(...values) + 1e-9);
      }
    }),
  );
});

test("wrapped lines are short enough and hold all words in order", () => {
  const word = fc.string({
    unit: fc.constantFrom("a", "b", "é", "文"),
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 12, max: 90 }),
      (words, width) => {
        const lines = wrap(words.join(" "), width);
        for (const line of lines) assert.ok([...line].length <= width);
        assert.equal(lines.join(" ").split(" "), words);
      },
    ),
  );
});

test("numbers are written as a reader expects them", () => {
  assert.is(bytes(999), "999 bytes");
  assert.is(bytes(6_838_412), "6.8 MB");
  assert.is(bytes(999_999), "1.0 MB");
  assert.is(duration(7.44), "7.4 s");
  assert.is(duration(59.7), "1:00 min");
  assert.is(duration(3725), "1:02 h");
  assert.is(clock(83), "1:23");
  assert.is(percent(0.0653), "6.5 %");
});

test("what a model writes cannot steer the terminal", () => {
  assert.is(printable("a\x1b[31mb\x07c\x9b\n\td"), "a\ufffd[31mb\ufffdc\ufffd\n\td");
});

test("colour needs a terminal, and NO_COLOR or a dumb terminal switch it off", () => {
  assert.is(wantsColour(true, {}), true);
  assert.is(wantsColour(false, {}), false);
  assert.is(wantsColour(true, { NO_COLOR: "1" }), false);
  assert.is(wantsColour(true, { NO_COLOR: "" }), true);
  assert.is(wantsColour(true, { TERM: "dumb" }), false);
  assert.is(printable(makeStyle(true).bold("x")), "\x1b[1mx\x1b[22m");
  assert.is(makeStyle(false).bold("x"), "x");
});

test("proposed commands begin as the command was called", () => {
  assert.is(
    invocation("/home/me/clone/dist/src/cli/main.js", "/home/me/clone"),
    "node dist/src/cli/main.js",
  );
  assert.is(invocation("/home/me/app/node_modules/.bin/lowrank", "/home/me/app"), "npx lowrank");
  assert.is(invocation("/usr/local/bin/lowrank", "/home/me"), "lowrank");
  // The working directory was deleted.
  assert.is(invocation("/home/me/main.js", null), "node /home/me/main.js");
});

test("the options of a run survive as words of a command line", () => {
  const name = fc.string({ unit: fc.constantFrom("q", "_", "proj", "0"), minLength: 1 });
  const targets = fc.oneof(
    fc.constant("all-linear"),
    fc.array(name, { minLength: 1, maxLength: 4 }),
    fc.constant(".*\\.q_proj"),
  );
  const { values } = readArguments([], runOptions);
  const record = fc.record({
    r: fc.integer({ min: 1, max: 64 }),
    alpha: fc
      .double({ min: -100, max: 100, noNaN: true, noDefaultInfinity: true })
      .map((x) => x + 0),
    targets,
    model: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
    lr: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    full: fc.boolean(),
    seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  });
  fc.assert(
    fc.property(record, (changed) => {
      const whole = { ...values, ...changed };
      assert.equal(readArguments(toWords(whole), runOptions).values, whole);
    }),
  );
});

test("tensors of several layers share a row, numbered in ranges", () => {
  const tensor = (name: string, size = 4) => ({
    name,
    dtype: "F32",
    shape: [size],
    bytes: 4 * size,
  });
  const rows = groupTensors([
    ...[0, 1, 2, 5].map((layer) => tensor(`h.${layer}.w`)),
    tensor("h.3.w", 8),
    tensor("norm"),
  ]);
  assert.equal(
    rows.map(({ name, count }) => [name, count]),
    [
      ["h.{0-2,5}.w", 4],
      ["h.3.w", 1],
      ["norm", 1],
    ],
  );
  assert.is(ranges([3, 1, 2, 7]), "1-3,7");
});

test.run();
