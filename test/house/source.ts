// The project's source as text, for tests that read it: which files there are, and their code without comments.

import { existsSync, readdirSync, readFileSync } from "node:fs";

/** The root of the project; compiled tests lie in dist/test/house. */
const root = new URL("../../../", import.meta.url);

/** A file of the project by its path from the root. */
export function read(path: string): string {
  return readFileSync(new URL(path, root), "utf8");
}

/** Paths of the files in a folder and below it, by their ends; generated ones are left out. */
export function filesIn(folder: string, ...endings: string[]): string[] {
  if (!existsSync(new URL(folder, root))) return [];
  return readdirSync(new URL(`${folder}/`, root), { recursive: true })
    .map((name) => `${folder}/${String(name).replaceAll("\\", "/")}`)
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .filter((path) => !path.startsWith("src/core/binary/") && !path.includes("node_modules/"))
    .sort();
}

// What may stand before a "/" that begins a regular expression, not a division.
const BEFORE_PATTERN = /(?:^|[=(,:;!&|?{}[<>+*/%~^-]|\breturn|\btypeof|\bcase|=>)\s*$/;

/**
 * The code of a file: comments are blanked, and so are the contents of strings and patterns. What a template puts in
 * `${}` counts as code. Every character stays where it was.
 */
export function codeOf(text: string): string {
  let out = "";
  const blank = (from: number, to: number): void => {
    out += text.slice(from, to).replace(/[^\n]/g, " ");
  };
  const kept = (from: number, to: number): void => {
    out += text[from];
    blank(from + 1, to - 1);
    out += text[to - 1];
  };
  /** The position after a literal that ends with `end`. */
  const literalEnd = (from: number, end: string): number => {
    let inClass = false;
    for (let i = from + 1; i < text.length; i++) {
      if (text[i] === "\\") i++;
      else if (end === "/" && text[i] === "[") inClass = true;
      else if (end === "/" && text[i] === "]") inClass = false;
      else if (text[i] === end && !inClass) return i + 1;
    }
    return text.length;
  };
  // For each open template, how many braces are open inside its `${`.
  const templates: number[] = [];
  const template = (from: number): number => {
    let i = from + 1;
    while (i < text.length && text[i] !== "`" && !text.startsWith("${", i)) {
      i += text[i] === "\\" ? 2 : 1;
    }
    const opens = text.startsWith("${", i);
    const to = i + (opens ? 2 : 1);
    kept(from, to);
    if (opens) templates.push(0);
    return to;
  };
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (text.startsWith("//", i)) {
      const end = text.indexOf("\n", i);
      const to = end < 0 ? text.length : end;
      blank(i, to);
      i = to;
    } else if (text.startsWith("/*", i)) {
      const to = text.indexOf("*/", i + 2) + 2;
      blank(i, to);
      i = to;
    } else if (c === '"' || c === "'" || (c === "/" && BEFORE_PATTERN.test(out.slice(-40)))) {
      const to = literalEnd(i, c);
      kept(i, to);
      i = to;
    } else if (c === "`") {
      i = template(i);
    } else if (c === "}" && templates.at(-1) === 0) {
      templates.pop();
      i = template(i);
    } else {
      if (templates.length > 0 && c === "{") templates[templates.length - 1]! += 1;
      if (templates.length > 0 && c === "}") templates[templates.length - 1]! -= 1;
      out += c;
      i++;
    }
  }
  return out;
}

/** The names of modules that a pattern finds in the code of a file, as they are written; its last group is the name. */
function modulesOf(path: string, pattern: RegExp): string[] {
  const text = read(path);
  return [...codeOf(text).matchAll(pattern)].map((match) => {
    const end = match.index + match[0].length - 1;
    return text.slice(end - match.at(-1)!.length, end);
  });
}

/** What a file imports or exports again. */
export function importsOf(path: string): string[] {
  return modulesOf(path, /\b(?:from|import)\s*\(?\s*(["'])([^"']*)\1/g);
}

/** What a file imports or exports again and needs when it runs: types are left out. */
export function runtimeImportsOf(path: string): string[] {
  return modulesOf(path, /^(?:import|export)\s+(?!type\b)[^;"]*?from\s*(["'])([^"']*)\1/gm);
}

/** The groups of files that import each other in a circle, given as [file, file that it imports]. */
export function circlesIn(edges: readonly (readonly [string, string])[]): string[][] {
  const next = new Map<string, string[]>();
  for (const [from, to] of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const reached = new Map<string, Set<string>>();
  for (const file of next.keys()) {
    const seen = new Set<string>();
    const open = [file];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const to of next.get(at) ?? []) {
        if (seen.has(to)) continue;
        seen.add(to);
        open.push(to);
      }
    }
    reached.set(file, seen);
  }
  const groups = new Map<string, string[]>();
  for (const [file, seen] of reached) {
    if (!seen.has(file)) continue;
    const group = [...seen].filter((other) => reached.get(other)?.has(file)).sort();
    groups.set(group[0]!, group);
  }
  return [...groups.values()];
}

/** The path from the root of what `path` imports as `name`; null for a package. */
export function resolved(path: string, name: string): string | null {
  if (!name.startsWith(".")) return null;
  return new URL(name, new URL(path, "file:///")).pathname.slice(1);
}

/** Lines of a file's code (or of `text`) that match, as "path:line text". */
export function linesWith(
  path: string,
  pattern: RegExp,
  text: string = codeOf(read(path)),
): string[] {
  return (text === "" ? codeOf(read(path)) : text)
    .split("\n")
    .map((line, i) => ({ line, at: `${path}:${i + 1}` }))
    .filter(({ line }) => pattern.test(line))
    .map(({ line, at }) => `${at} ${line.trim()}`);
}
