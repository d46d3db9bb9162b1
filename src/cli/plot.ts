// A curve in characters: every cell holds 2 by 4 dots of braille (Unicode block U+2800). The single values are faint
// dots, their moving average the line.
//
//   4.0 ┤⠑⢄
//       │  ⠑⠒⠤⣀
//   3.0 ┤      ⠉⠉⠒⠒⠤⠤⣀⣀
//       └──────────────
//        1            60

import { type Style, widthOf } from "./style.ts";

/** A value y at x; x ascends. */
export type Point = readonly [x: number, y: number];

export interface PlotOptions {
  /** Columns in all, labels included. */
  readonly columns: number;
  /** Rows of cells. */
  readonly rows: number;
  /** Stands above the vertical axis, and below the end of the horizontal one. */
  readonly yLabel: string;
  readonly xLabel: string;
  readonly style: Style;
}

// Bit of a dot in its cell, by column and row.
const DOTS: readonly (readonly number[])[] = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
];

/** A picture of dots, [4 rows, 2 columns] to a cell. */
class Canvas {
  readonly #columns: number;
  readonly #cells: Uint8Array;

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#cells = new Uint8Array(columns * rows);
  }

  set(x: number, y: number): void {
    const cell = (y >> 2) * this.#columns + (x >> 1);
    this.#cells[cell] = (this.#cells[cell] ?? 0) | (DOTS[x & 1]?.[y & 3] ?? 0);
  }

  cell(column: number, row: number): number {
    return this.#cells[row * this.#columns + column] ?? 0;
  }
}

/** Round values between `low` and `high`, about `wanted` of them: multiples of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, wanted: number): number[] {
  const rough = (high - low) / Math.max(1, wanted);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= 0.8 * rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** Means over a window that is centred, narrower at the beginning, and cut off by the end. */
export function movingAverage(values: readonly number[], window: number): number[] {
  const half = Math.floor(window / 2);
  return values.map((_, i) => {
    // The first value stands as it is: a loss falls fastest there. The last one is a mean of those before.
    const reach = Math.min(half, i);
    const part = values.slice(i - reach, i + reach + 1);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** Lines of a plot; none for fewer than two points. */
export function plot(all: readonly Point[], options: PlotOptions): string[] {
  // More values than dots in a row would only fill the picture.
  const points = thinned(all, 2 * options.columns);
  const firstPoint = points[0];
  const lastPoint = points.at(-1);
  if (points.length < 2 || firstPoint === undefined || lastPoint === undefined) return [];
  const { rows, style } = options;
  const values = points.map(([, y]) => y);
  const [low, high] = padded(Math.min(...values), Math.max(...values));
  const marks = ticks(low, high, Math.max(2, Math.floor(rows / 2)));
  const digits = Math.max(0, ...marks.map((mark) => decimals(mark)));
  const labels = marks.map((mark) => mark.toFixed(digits));
  const gutter = Math.max(...labels.map((label) => label.length)) + 1;
  const columns = Math.max(10, options.columns - gutter - 1);

  const across = (x: number) =>
    Math.round(((x - firstPoint[0]) / (lastPoint[0] - firstPoint[0])) * (2 * columns - 1));
  const down = (y: number) => Math.round(((high - y) / (high - low)) * (4 * rows - 1));
  const dots = new Canvas(columns, rows);
  for (const [x, y] of points) dots.set(across(x), down(y));
  const line = new Canvas(columns, rows);
  const mean = movingAverage(values, 2 * Math.floor(points.length / 20) + 1);
  drawLine(
    line,
    points.map(([x], i) => [across(x), down(mean[i] ?? 0)] as const),
  );

  const labelOf = new Map(marks.map((mark, i) => [down(mark) >> 2, labels[i] ?? ""]));
  const picture = Array.from({ length: rows }, (_, row) => {
    const label = labelOf.get(row);
    const axis = `${(label ?? "").padStart(gutter - 1)} ${label === undefined ? "│" : "┤"}`;
    const cells = Array.from({ length: columns }, (_, column) => {
      const front = line.cell(column, row);
      const both = front | dots.cell(column, row);
      const character = both === 0 ? " " : String.fromCodePoint(0x2800 + both);
      return front === 0
        ? style.dim(character.trim() === "" ? "" : character) || " "
        : style.accent(character);
    });
    return `${style.dim(axis)}${cells.join("").trimEnd()}`;
  });
  const indent = " ".repeat(gutter);
  return [
    style.dim(`${options.yLabel.padStart(gutter)}`),
    ...picture,
    style.dim(`${indent}└${"─".repeat(columns)}`),
    style.dim(`${indent} ${xAxis(firstPoint[0], lastPoint[0], columns, options.xLabel)}`),
  ];
}

/** Neighbours put together until at most `most` points are left: means of x and y; the ends of x stay. */
function thinned(points: readonly Point[], most: number): Point[] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return [...points];
  const mean = (part: readonly Point[], axis: 0 | 1) =>
    part.reduce((sum, point) => sum + point[axis], 0) / part.length;
  const groups = Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    points.slice(i * size, (i + 1) * size),
  );
  return groups.map((part, i) => {
    const end = i === 0 ? part[0] : i === groups.length - 1 ? part.at(-1) : undefined;
    return [end?.[0] ?? mean(part, 0), mean(part, 1)];
  });
}

function padded(low: number, high: number): [number, number] {
  // A smaller range has no power of ten to mark it with.
  if (high - low > 1e-300) return [low, high];
  const room = Math.abs(high) > 1e-290 ? Math.abs(high) * 0.05 : 1;
  return [low - room, high + room];
}

/** Digits behind the point that a round value needs. */
function decimals(value: number): number {
  for (let digits = 0; digits < 8; digits++) {
    if (Math.abs(Number(value.toFixed(digits)) - value) < 1e-9 * Math.max(1, Math.abs(value)))
      return digits;
  }
  return 8;
}

/** Joins points [x, y] in dots, column by column without gaps. */
function drawLine(canvas: Canvas, points: readonly Point[]): void {
  let [previousX, previousY] = points[0] ?? [0, 0];
  for (const [x, y] of points) {
    for (let column = previousX; column <= x; column++) {
      const share = x === previousX ? 1 : (column - previousX) / (x - previousX);
      const next = x === previousX ? 1 : Math.min(1, (column + 1 - previousX) / (x - previousX));
      const from = Math.round(previousY + (y - previousY) * share);
      const to = Math.round(previousY + (y - previousY) * next);
      const step = Math.sign(to - from);
      canvas.set(column, from);
      for (let row = from; row !== to; row += step) canvas.set(column, row);
    }
    previousX = x;
    previousY = y;
  }
}

function xAxis(first: number, last: number, columns: number, label: string): string {
  const left = String(first);
  const right = `${label} ${last}`;
  return `${left}${right.padStart(Math.max(right.length + 1, columns - widthOf(left)))}`;
}
