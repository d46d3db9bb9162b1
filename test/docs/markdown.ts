// The documentation as the tests read it: pages, their fenced blocks, their tables.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the project; tests run in dist/test/docs. */
export const root: string = fileURLToPath(new URL("../../..", import.meta.url));

/** A fenced block: the word behind the fence, what it holds, and the line where it begins. */
export interface Fence {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

/** README.md, the changelog and all chapters, by path. */
export const pages: readonly string[] = [
  "README.md",
  "CHANGELOG.md",
  ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
  ...["data/README.md", "models/lowrank-sotu/README.md"].filter((path) =>
    existsSync(join(root, path)),
  ),
];

export function page(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export function fences(path: string): Fence[] {
  const found: Fence[] = [];
  const pattern = /^```(\w+)\n(.*?)^```$/gms;
  for (const match of page(path).matchAll(pattern)) {
    const [, language = "", text = ""] = match;
    const line = page(path).slice(0, match.index).split("\n").length + 1;
    found.push({ language, text, line });
  }
  return found;
}

/** The rows of the table below a heading, cells without their spaces; the table's own heading is left out. */
export function tableBelow(path: string, heading: string): string[][] {
  const text = page(path);
  const section = text.slice(text.indexOf(`\n## ${heading}\n`)).split("\n## ")[1] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What stands in backticks. */
export function codes(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
}
