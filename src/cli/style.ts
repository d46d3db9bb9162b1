// Colour and weight of text in a terminal (ECMA-48 SGR). Off for files, pipes, NO_COLOR (no-color.org) and TERM=dumb.

/** Functions that wrap a text in the codes of a style, or leave it as it is. */
export interface Style {
  readonly on: boolean;
  bold(text: string): string;
  dim(text: string): string;
  accent(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

export function makeStyle(on: boolean): Style {
  const wrap = (open: number, close: number) => (text: string) =>
    on && text !== "" ? `\x1b[${open}m${text}\x1b[${close}m` : text;
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

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CODES = /\x1b\[\d+m/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Columns that a text takes, colour codes aside. */
export function widthOf(text: string): number {
  return [...text.replace(CODES, "")].length;
}

/** Text of a model or a file without the control characters that could steer a terminal. */
export function printable(text: string): string {
  return text.replace(CONTROLS, "\ufffd");
}
