// Colour and weight of text in a terminal (ECMA-48 SGR). Off for files, pipes, NO_COLOR (no-color.org) and TERM=dumb.
// A style only marks its text. The terminal, through which everything is printed, makes codes of marks and covers every
// other code, so a text of a stranger cannot hold one. Marks carry a key of this process, which nobody can write down.

import { coverControls } from "../core/controls.ts";

/** Functions that wrap a text in the marks of a style, or leave it as it is. */
export interface Style {
  readonly on: boolean;
  bold(text: string): string;
  dim(text: string): string;
  accent(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

const KEY = [...crypto.getRandomValues(new Uint32Array(2))].map((n) => n.toString(36)).join("");
// Unicode keeps U+FDD0 and U+FDD1 for a program's own use.
const mark = (code: number | string) => `\ufdd0${KEY}:${code}\ufdd1`;
const MARK = mark("\\d+");
const MARKS = new RegExp(MARK, "g");

export function makeStyle(on: boolean): Style {
  const wrap = (open: number, close: number) => (text: string) =>
    on && text !== "" ? `${mark(open)}${text}${mark(close)}` : text;
  return {
    on,
    bold: wrap(1, 22),
    dim: wrap(2, 22),
    accent: wrap(36, 39),
    good: wrap(32, 39),
    bad: wrap(31, 39),
  };
}

/** Whether a stream is to be coloured. */
export function wantsColour(isTerminal: boolean, environment: NodeJS.ProcessEnv): boolean {
  const { NO_COLOR: none = "", TERM: kind = "" } = environment;
  return isTerminal && none === "" && kind !== "dumb";
}

/** Columns that a text takes, marks aside. */
export function widthOf(text: string): number {
  return [...text.replace(MARKS, "")].length;
}

/** The characters of a text, each with the marks that follow it; marks at the beginning stand before the first. */
export function charactersOf(text: string): string[] {
  return text.match(new RegExp(`^(?:${MARK})+.?(?:${MARK})*|.(?:${MARK})*`, "gsu")) ?? [];
}

/** The marks of a text without its characters. */
export function marksOf(text: string): string {
  return text.match(MARKS)?.join("") ?? "";
}

/** What a stream may get: marks become codes, all other codes U+FFFD. */
export function printable(text: string): string {
  // The carriage return of a line end that Windows wrote moves nothing.
  const covered = coverControls(text.replaceAll("\r\n", "\n"));
  return covered.replace(MARKS, (found) => `\x1b[${found.slice(KEY.length + 2, -1)}m`);
}

/** One line: line ends and tabs are covered as well. */
export function oneLine(text: string): string {
  return text.replace(/[\n\t]/g, "\ufffd");
}
