// Rebuilds data/king-james.txt, the bundled fine-tuning text: the Gospels of Matthew and John in the King James
// Version, one verse a line, a blank line between chapters.
//   node scripts/text-king-james.mjs [--check] [bible command] [folder of bible.data]
// Needs the `bible` command and its text (Debian packages bible-kjv and bible-kjv-text 4.38). With --check the file
// is compared instead of written.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const books = ["mat1:1-mat28:20", "john1:1-john21:25"];
const target = fileURLToPath(new URL("../data/king-james.txt", import.meta.url));
const check = process.argv.includes("--check");
const [command = "bible", folder] = process.argv
  .slice(2)
  .filter((argument) => argument !== "--check");

// The command prints "Mat1:1 The book of ...", a verse a line.
function chapters(range) {
  const options = folder === undefined ? [] : ["-p", folder];
  const output = execFileSync(command, [...options, "-f", range], { encoding: "latin1" });
  const verses = new Map();
  for (const line of output.trimEnd().split("\n")) {
    const [, chapter, verse, text] = /^[A-Za-z]+(\d+):(\d+) (.*)$/.exec(line) ?? [];
    if (text === undefined) throw new Error(`This line is no verse: ${line}`);
    if (/[^ -~]|^ | $| {2}/.test(text))
      throw new Error(`Verse ${chapter}:${verse} is no plain ASCII.`);
    verses.set(chapter, `${verses.get(chapter) ?? ""}${text}\n`);
  }
  return [...verses.values()];
}

const text = books.flatMap(chapters).join("\n");
if (check) {
  const same = readFileSync(target, "latin1") === text;
  console.log(
    same ? "data/king-james.txt is as the package gives it" : "data/king-james.txt differs",
  );
  process.exitCode = same ? 0 : 1;
} else {
  writeFileSync(target, text);
  console.log(
    `data/king-james.txt: ${text.length} bytes, ${text.split("\n").filter(Boolean).length} verses`,
  );
}
