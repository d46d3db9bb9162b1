// Where a command writes: results to standard output, remarks and errors to standard error. The only file, with
// main.ts, that touches the process's streams, and the one door for all that is printed: nothing that a file, a model or
// an error says reaches a terminal as a code (style.ts).

import { escapeControls } from "../core/controls.ts";
import { makeStyle, printable, type Style, wantsColour } from "./style.ts";

const NARROWEST = 60;
const WIDEST = 100;

/** The two streams and what they can show. */
export interface Terminal {
  /** Writes to standard output. */
  write(text: string): void;
  /** Writes a line to standard output. */
  line(text?: string): void;
  /** Writes a line to standard error. */
  note(text: string): void;
  /** Writes one line of JSON to standard output. */
  event<E extends Event>(event: E): void;
  /** Puts a text in the place of the last line, which is still open; for `live` terminals. */
  rewrite(text: string): void;
  /** Writes a model's text: a file or a program gets it as it is, a terminal as `styled` shows it. */
  copy(text: string, styled?: (text: string) => string): void;
  /** Columns to fill, 60 to 100. */
  readonly columns: number;
  /** Standard output is a terminal, where a line can be rewritten. */
  readonly live: boolean;
  /** Style of standard output, and of standard error. */
  readonly style: Style;
  readonly noteStyle: Style;
}

/** What is used of a stream. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Both streams and the environment; a process is one. */
export interface Host {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
}

/** The terminal of a process. */
export function makeTerminal({ stdout, stderr, env }: Host): Terminal {
  const isTerminal = stdout.isTTY === true;
  const live = isTerminal && env["TERM"] !== "dumb";
  // A line that waits to be rewritten, such as a progress bar, is ended before a remark.
  let isLineOpen = false;
  const put = (text: string): void => {
    if (text === "") return;
    isLineOpen = !text.endsWith("\n");
    stdout.write(text);
  };
  const write = (text: string): void => put(printable(text));
  return {
    write,
    line: (text = "") => write(`${text}\n`),
    note(text) {
      if (live && isLineOpen) write("\n");
      stderr.write(printable(`${text}\n`));
    },
    event: (event) => put(`${escapeControls(JSON.stringify(event))}\n`),
    rewrite: (text) => put(`\r${printable(text)}\x1b[K`),
    copy: (text, styled = (plain) => plain) => (isTerminal ? write(styled(text)) : put(text)),
    get columns() {
      return Math.min(WIDEST, Math.max(NARROWEST, (stdout.columns || 80) - 1));
    },
    live,
    style: makeStyle(wantsColour(isTerminal, env)),
    noteStyle: makeStyle(wantsColour(stderr.isTTY === true, env)),
  };
}

/** Something that happened, with its data: one line of JSON for programs. */
export interface Event {
  readonly event: string;
}

/** Shows events: as JSON, or in words. */
export type View<E extends Event> = (event: E) => void;

/** Events as one JSON object a line. */
export function jsonView<E extends Event>(terminal: Terminal): View<E> {
  return (event) => terminal.event(event);
}
