// Where a command writes: results to standard output, remarks and errors to standard error. The only file, with
// main.ts, that touches the process's streams.

import { makeStyle, type Style, wantsColour } from "./style.ts";

const NARROWEST = 60;
const WIDEST = 100;

/** The two streams and what they can show. */
export interface Terminal {
  /** Writes to standard output as it stands. */
  write(text: string): void;
  /** Writes a line to standard output. */
  line(text?: string): void;
  /** Writes a line to standard error. */
  note(text: string): void;
  /** Columns to fill, 60 to 100. */
  readonly columns: number;
  /** Standard output is a terminal, where a line can be rewritten. */
  readonly live: boolean;
  /** Style of standard output, and of standard error. */
  readonly style: Style;
  readonly noteStyle: Style;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  const live = stdout.isTTY === true && env["TERM"] !== "dumb";
  // A line that waits to be rewritten, such as a progress bar, is ended before a remark.
  let isLineOpen = false;
  const write = (text: string): void => {
    if (text === "") return;
    isLineOpen = !text.endsWith("\n");
    stdout.write(text);
  };
  return {
    write,
    line: (text = "") => write(`${text}\n`),
    note(text) {
      if (live && isLineOpen) write("\n");
      stderr.write(`${text}\n`);
    },
    get columns() {
      return Math.min(WIDEST, Math.max(NARROWEST, (stdout.columns || 80) - 1));
    },
    live,
    style: makeStyle(wantsColour(stdout.isTTY === true, env)),
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
  return (event) => terminal.line(JSON.stringify(event));
}
