// npm run bench [-- --peers | --against DIR] [-- --only PATTERN] [-- --json]
//   (nothing)  what lowrank can say of itself, in less than three minutes on two idle cores
//   --peers    lowrank beside other systems, which are installed first
//   --against  this checkout beside an older one in DIR that has been built; ends with 1 if something is worse
//   --only     cases or entries whose name matches a regular expression
//   --json     one JSON document (bench/document.ts) instead of the table; progress goes to the error output

import { parseArgs } from "node:util";
import { againstCases } from "./cases/against.ts";
import { localCases } from "./cases/local.ts";
import { type BenchDocument, documentJson, judged, type Missing } from "./document.ts";
import { chosenCases, type Entry } from "./entry.ts";
import { thisMachine } from "./machine.ts";
import { peerCases } from "./peers/cases.ts";
import { foundSystems } from "./peers/have.ts";
import { tableText } from "./table.ts";

const { values } = parseArgs({
  options: {
    peers: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    against: { type: "string" },
    only: { type: "string" },
  },
});

const start = performance.now();
const since = (): number => (performance.now() - start) / 1000;
const only = values.only === undefined ? null : new RegExp(values.only);
const entries: Entry[] = [];
const missing: Missing[] = [];
const { against } = values;
const mode = values.peers ? peerCases : localCases;
const cases = chosenCases(against === undefined ? mode : againstCases(against), only);
for (const { name, run } of cases) {
  const begun = since();
  try {
    entries.push(...(await run((what, why) => missing.push({ what, why }))));
  } catch (error) {
    missing.push({ what: name, why: error instanceof Error ? error.message : String(error) });
  }
  process.stderr.write(`${name}: ${(since() - begun).toFixed(1)} s\n`);
}
const document: BenchDocument = {
  schema: 1,
  machine: thisMachine(),
  systems: foundSystems(),
  seconds: since(),
  entries: judged(entries),
  missing,
};
console.log(values.json ? documentJson(document) : `\n${tableText(document)}`);
const isWorse = against !== undefined && document.entries.some(({ met }) => met === false);
process.exit(entries.length > 0 && !isWorse ? 0 : 1);
