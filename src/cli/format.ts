// Numbers, sizes, times and paragraphs as a reader wants them.

import { charactersOf, marksOf } from "./style.ts";

/** 1612800 → "1,612,800". */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 0.0653 → "6.5 %". */
export function percent(share: number): string {
  const value = share * 100;
  const digits = value !== 0 && Math.abs(value) < 1 ? 2 : 1;
  return `${value.toFixed(digits)} %`;
}

/** Bytes in powers of 1000: 6838412 → "6.8 MB". */
export function bytes(count: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${count} bytes` : `${value.toFixed(value < 9.95 ? 1 : 0)} ${units[unit]}`;
}

/** Seconds: 7.4 → "7.4 s", 83 → "1:23 min", 3725 → "1:02 h". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (rounded < 3600) return `${Math.floor(rounded / 60)}:${two(rounded % 60)} min`;
  return `${Math.floor(rounded / 3600)}:${two(Math.floor((rounded % 3600) / 60))} h`;
}

/** A clock for what is left: 83 → "1:23". */
export function clock(seconds: number): string {
  const rounded = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(rounded % 60)}`
    : `${minutes}:${two(rounded % 60)}`;
}

/** A small number in few digits: 0.002 → "2.0e-3", 0 → "0". */
export function small(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}

/** "1 layer", "42 layers". */
export function plural(count: number, noun: string, nouns: string = `${noun}s`): string {
  return `${whole(count)} ${count === 1 ? noun : nouns}`;
}

/** Cuts a text into lines of at most `width` columns, at spaces where there are any; its own line ends stay. */
export function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => wrapLine(line, Math.max(8, width)));
}

function wrapLine(line: string, width: number): string[] {
  const lines: string[] = [];
  const characters = charactersOf(line.trimEnd());
  let start = 0;
  while (characters.length - start > width) {
    let space = start + width;
    while (space > start && !characters[space]?.startsWith(" ")) space--;
    const end = space > start ? space : start + width;
    // The space goes; marks of a style that follow it stay.
    const marks = space > start ? marksOf(characters[space] ?? "") : "";
    lines.push(characters.slice(start, end).join("").trimEnd() + marks);
    start = space > start ? end + 1 : end;
  }
  lines.push(characters.slice(start).join(""));
  return lines;
}

/** A word as a shell takes it. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
