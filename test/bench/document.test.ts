// What the benchmark prints, from figures that are made up, and that it has a figure for every target.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { localCases } from "../../bench/cases/local.ts";
import { type BenchDocument, documentJson, judged } from "../../bench/document.ts";
import { chosenCases, type Entry } from "../../bench/entry.ts";
import { counted, quotient } from "../../bench/figure.ts";
import { thisMachine } from "../../bench/machine.ts";
import { peerCases } from "../../bench/peers/cases.ts";
import { formatted, tableText } from "../../bench/table.ts";
import { isMet, targets } from "../../bench/targets.ts";

const entries: readonly Entry[] = [
  { id: "extra", what: "without a target", unit: "ratio", figure: counted(0.75) },
  { id: "start", what: "the start", unit: "ms", figure: counted(40), note: "a note" },
  {
    id: "gemm-relaxed-256",
    what: "a product",
    unit: "share",
    figure: quotient([0.91, 0.85], [1, 1]),
    roof: { speed: 46.5, unit: "GFLOP/s" },
    measured: { milliseconds: 1.23456789 },
    disturbed: true,
  },
];

const document: BenchDocument = {
  schema: 1,
  machine: thisMachine(),
  systems: { "a peer": "1.2.3" },
  seconds: 12.5,
  entries: judged(entries),
  missing: [{ what: "another peer", why: "It is not there." }],
};

test("every target has one case that measures it, with peers where it needs them", () => {
  for (const [cases, beside] of [
    [localCases, "nothing"],
    [peerCases, "peers"],
  ] as const) {
    const ids = cases.flatMap((one) => one.ids);
    assert.is(new Set(ids).size, ids.length);
    const wanted = Object.keys(targets).filter((id) => targets[id]?.beside === beside);
    assert.equal(
      wanted.filter((id) => !ids.includes(id)),
      [],
    );
  }
});

test("a case is chosen by its name or by what it measures", () => {
  const names = (only: string): string[] =>
    chosenCases(localCases, new RegExp(only)).map(({ name }) => name);
  assert.equal(names("^steps-M$"), ["steps-M"]);
  assert.equal(names("^lora-memory-L$"), ["steps-L"]);
  assert.equal(names("^ladder$"), ["ladder"]);
  const all = chosenCases(localCases, null).map(({ name }) => name);
  assert.equal(
    localCases.map(({ name }) => name).filter((name) => !all.includes(name)),
    ["ladder"],
  );
});

test("a target is met at its bound, from the right side", () => {
  assert.is(isMet("start", 25), true);
  assert.is(isMet("start", 25.1), false);
  assert.is(isMet("threads-step-M", 1.7), true);
  assert.is(isMet("threads-step-M", 1.69), false);
  assert.is(isMet("extra", 1), null);
  assert.is(isMet("start", Number.NaN), false);
});

test("entries come in the order of the targets, those without one last", () => {
  const found = document.entries.map(({ id, met }) => [id, met]);
  assert.equal(found, [
    ["gemm-relaxed-256", true],
    ["start", false],
    ["extra", null],
  ]);
});

test("the JSON is one document with everything that was measured", () => {
  const text = documentJson(document);
  const back = JSON.parse(text) as BenchDocument;
  assert.is(back.schema, 1);
  assert.equal(back.machine, document.machine);
  assert.equal(back.systems, document.systems);
  assert.equal(back.missing, document.missing);
  assert.is(back.seconds, 12.5);
  assert.is(back.entries.length, entries.length);
  const [product, start, extra] = back.entries;
  assert.equal(product?.target, { bound: "at least", value: 0.84 });
  assert.equal(product?.figure, { best: 0.85, median: 0.91, low: 0.85, high: 0.91, rounds: 2 });
  assert.equal(product?.measured, { milliseconds: 1.2346 });
  assert.equal(product?.roof, { speed: 46.5, unit: "GFLOP/s" });
  assert.is(product?.disturbed, true);
  assert.is(start?.met, false);
  assert.is(extra?.target, null);
});

test("the table shows figure, spread, target, verdict and roof, and where it was measured", () => {
  const text = tableText(document);
  for (const line of [
    /a product \* +85\.0 % +91\.0 % \(85\.0 to 91\.0; 2\) +≥ 84\.0 % +met +46\.5 GFLOP\/s/,
    /the start +40\.0 ms +once +≤ 25\.0 ms +not met$/m,
    /without a target +0\.750 +once$/m,
    /not measured: another peer\. It is not there\./,
    /start: a note/,
    /a peer: 1\.2\.3/,
    /1 of 2 targets met/,
  ]) {
    assert.match(text, line);
  }
  const { cpu, cores, runtime } = document.machine;
  for (const part of [cpu, `${cores} cores`, runtime]) assert.ok(text.includes(part), part);
});

test("units are written as one reads them", () => {
  assert.is(formatted(0.0312, "excess"), "+3.1 %");
  assert.is(formatted(-0.001, "excess"), "-0.1 %");
  assert.is(formatted(1.854, "times"), "1.85x");
  assert.is(formatted(0.135, "µs"), "0.14 µs");
  assert.is(formatted(299.6, "MB"), "300 MB");
});

test.run();
