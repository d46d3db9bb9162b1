// The product with bias and low-rank branch, batches of products, and packed weights, in both builds.
import { test } from "uvu";
import { expectClose } from "../support/compare.ts";
import {
  type Build,
  baseline,
  builds,
  Cols,
  exact,
  expectSameBits,
  gamma,
  gapsOf,
  lay,
  layB,
  type Matrix,
  matrix,
  Panels,
  PanelsT,
  Room,
  Rows,
  sequential,
} from "./gemm-harness.ts";

interface Adapted {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly bLayout?: number;
  readonly bias?: Matrix | undefined;
  /** t [m, r] and Bt [r, n] of the branch. */
  readonly branch?:
    | { readonly t: Matrix; readonly bt: Matrix; readonly layout?: number }
    | undefined;
  readonly start?: Float32Array | undefined;
  readonly threads?: number;
}

function run(build: Build, product: Adapted): Float32Array {
  const { a, b, bLayout = Panels, bias, branch, start, threads = 1 } = product;
  const [m, n, k] = [a.rows, b.columns, a.columns];
  const room = new Room(build.memory);
  const pa = lay(room, a, false, 1);
  const pb = layB(build, room, b, bLayout, 2);
  const none = { address: 0, ld: 0 };
  const pBias = bias === undefined ? none : lay(room, bias, false, 0);
  const pt = branch === undefined ? none : lay(room, branch.t, false, 3);
  const layout = branch?.layout ?? Cols;
  const pbt = branch === undefined ? none : lay(room, branch.bt, layout === Cols, 1);
  const r = branch?.t.columns ?? 0;
  const ldc = n + 1;
  const c = room.take(m * ldc - 1, gapsOf(m, n, ldc));
  const floats = new Float32Array(build.memory.buffer);
  for (let i = 0; i < m && start !== undefined; i++) {
    floats.set(start.subarray(i * n, i * n + n), c / 4 + i * ldc);
  }
  const { gemmLowRank, gemmLowRankScratch } = build.kernels;
  const scratch = room.take(gemmLowRankScratch(m, n, k, bLayout, r, threads) / 4);
  for (let thread = 0; thread < threads; thread++) {
    gemmLowRank(
      ...[m, n, k, pa.address, Rows, pa.ld, pb.address, bLayout, pb.ld, c, ldc],
      ...[start === undefined ? 0 : 1, pBias.address, r, pt.address, pt.ld],
      ...[pbt.address, layout, pbt.ld, scratch, thread, threads],
    );
  }
  room.check();
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) out.set(room.get(c + i * ldc * 4, n), i * n);
  return out;
}

// [m, n, k, r]: few rows, edges of tiles, a rank beyond a block of k, several blocks of rows and of columns.
const shapes: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 1, 1],
  [1, 37, 20, 3],
  [2, 40, 513, 8],
  [3, 21, 30, 4],
  [4, 8, 8, 8],
  [5, 9, 515, 5],
  [13, 30, 17, 16],
  [6, 20, 12, 600],
  [2, 20, 12, 600],
  [133, 11, 9, 2],
  [6, 1030, 5, 4],
];

function pieces([m, n, k, r]: readonly [number, number, number, number]): {
  a: Matrix;
  b: Matrix;
  bias: Matrix;
  t: Matrix;
  bt: Matrix;
  start: Float32Array;
} {
  return {
    a: matrix(m, k, m),
    b: matrix(k, n, n),
    bias: matrix(1, n, k),
    t: matrix(m, r, r),
    bt: matrix(r, n, m + n),
    start: Float32Array.from(matrix(m, n, 99).data),
  };
}

test("base, bias and branch are added in this order, the branch as one sum (baseline, bit for bit)", () => {
  for (const shape of shapes) {
    const [, n, , r] = shape;
    const { a, b, bias, t, bt, start } = pieces(shape);
    for (const before of [undefined, start]) {
      const base = sequential(a, b, before, baseline.kc);
      const biased = base.map((x, i) => x + bias.data[i % n]!);
      const whole = sequential(t, bt, biased, r);
      for (const bLayout of [Rows, Cols, Panels, PanelsT]) {
        for (const layout of [Rows, Cols]) {
          const product = { a, b, bLayout, bias, branch: { t, bt, layout }, start: before };
          expectSameBits(run(baseline, product), whole, `${shape} layouts ${bLayout} ${layout}`);
        }
        expectSameBits(run(baseline, { a, b, bLayout, bias, start: before }), biased, `${shape}`);
      }
    }
  }
});

test("the adapted product stays within its error bound of float64", () => {
  for (const build of builds) {
    for (const shape of shapes) {
      const [, n, k, r] = shape;
      const { a, b, bias, t, bt } = pieces(shape);
      const [base, branch] = [exact(a, b), exact(t, bt)];
      const expected = base.value.map((x, i) => x + bias.data[i % n]! + branch.value[i]!);
      // No element meets more roundings than the base's K + 2, the branch's r + 1 and one for the bias.
      const bound = gamma(k + r + 4);
      const tolerance = base.magnitude.map(
        (x, i) => bound * (x + Math.abs(bias.data[i % n]!) + branch.magnitude[i]!),
      );
      expectClose(run(build, { a, b, bias, branch: { t, bt } }), expected, tolerance);
    }
  }
});

test("a branch with B = 0 leaves the bits of the base", () => {
  for (const build of builds) {
    for (const shape of shapes) {
      const { a, b, bias, t, bt } = pieces(shape);
      const zero = { ...bt, data: new Float64Array(bt.data.length) };
      for (const bLayout of [Cols, Panels, PanelsT]) {
        const base = run(build, { a, b, bLayout, bias });
        expectSameBits(run(build, { a, b, bLayout, bias, branch: { t, bt: zero } }), base);
      }
    }
  }
});

test("thread count, layout and number of rows do not change a bit of the adapted product", () => {
  for (const build of builds) {
    for (const shape of shapes) {
      const [m, n] = shape;
      const { a, b, bias, t, bt, start } = pieces(shape);
      const one = run(build, { a, b, bias, branch: { t, bt }, start });
      for (const threads of [2, 3]) {
        for (const bLayout of [Rows, Cols, Panels, PanelsT]) {
          const other = run(build, { a, b, bLayout, bias, branch: { t, bt }, start, threads });
          expectSameBits(other, one, `${build.name} ${shape}, ${threads} threads`);
        }
      }
      const last = (x: Matrix): Matrix => ({ ...x, rows: 1, data: x.data.slice(-x.columns) });
      const row = { a: last(a), b, bias, branch: { t: last(t), bt }, start: start.slice(-n) };
      expectSameBits(run(build, row), one.slice((m - 1) * n), `${build.name} ${shape}, last row`);
    }
  }
});

test("every form of the tiles gives the same bits of the adapted product", () => {
  for (const build of builds) {
    for (const shape of [...shapes, [7, 61, 20, 8], [12, 80, 9, 16]] as const) {
      const { a, b, bias, t, bt, start } = pieces(shape);
      const product = { a, b, bias, branch: { t, bt }, start, threads: 2 };
      const expected = run(build, product);
      for (const form of [1, 2, 3]) {
        build.kernels.setTileForm(form);
        const other = run(build, product);
        build.kernels.setTileForm(0);
        expectSameBits(other, expected, `${build.name} form ${form} ${shape}`);
      }
    }
  }
});

// Batches: A [count or 1][m, k], B [count or 1][k, n], C [count][m, n].
function runBatched(
  build: Build,
  as: readonly Matrix[],
  bs: readonly Matrix[],
  threads: number,
  bLayout: number,
): Float32Array {
  const count = Math.max(as.length, bs.length);
  const [m, k, n] = [as[0]!.rows, as[0]!.columns, bs[0]!.columns];
  const room = new Room(build.memory);
  const joined = (all: readonly Matrix[], transposed: boolean): { address: number; ld: number } =>
    lay(
      room,
      transposed
        ? { rows: k, columns: all.length * n, data: joinColumns(all) }
        : {
            rows: all.length * all[0]!.rows,
            columns: all[0]!.columns,
            data: Float64Array.from(all.flatMap(({ data }) => [...data])),
          },
      transposed,
      0,
    );
  const pa = joined(as, false);
  const pb = joined(bs, bLayout === Cols);
  const c = room.take(count * m * n);
  const { batched, batchedScratch } = build.kernels;
  const scratch = room.take(batchedScratch(count, m, n, k, bLayout, m * n, threads) / 4);
  for (let thread = 0; thread < threads; thread++) {
    batched(
      ...[count, m, n, k, pa.address, Rows, pa.ld, as.length > 1 ? m * k : 0],
      ...[pb.address, bLayout, pb.ld, bs.length > 1 ? k * n : 0],
      ...[c, n, m * n, 0, scratch, thread, threads],
    );
  }
  room.check();
  return room.get(c, count * m * n);
}

// [b0 | b1 | …]: transposed, the batches follow one another.
function joinColumns(all: readonly Matrix[]): Float64Array {
  const { rows, columns } = all[0]!;
  const out = new Float64Array(all.length * rows * columns);
  for (const [i, { data }] of all.entries()) {
    for (let k = 0; k < rows; k++) {
      out.set(data.subarray(k * columns, (k + 1) * columns), (k * all.length + i) * columns);
    }
  }
  return out;
}

test("batches are products of their own, with broadcast operands and any number of threads", () => {
  for (const build of builds) {
    for (const [count, m, n, k] of [
      [1, 5, 9, 4],
      [3, 2, 17, 10],
      [4, 9, 8, 5],
      [13, 6, 7, 3],
    ] as const) {
      const many = (rows: number, columns: number, seed: number): Matrix[] =>
        Array.from({ length: count }, (_, i) => matrix(rows, columns, seed + i));
      for (const bLayout of [Rows, Cols]) {
        for (const [as, bs] of [
          [many(m, k, 1), many(k, n, 50)],
          [many(m, k, 1), many(k, n, 50).slice(0, 1)],
          [many(m, k, 1).slice(0, 1), many(k, n, 50)],
        ] as const) {
          const batches = Math.max(as.length, bs.length);
          const single = Array.from({ length: batches }, (_, i) => [
            ...run(build, { a: as[i] ?? as[0]!, b: bs[i] ?? bs[0]!, bLayout }),
          ]).flat();
          for (const threads of [1, 2, 3]) {
            const what = `${build.name} ${count} x ${m}x${n}x${k}, ${threads} threads`;
            expectSameBits(runBatched(build, as, bs, threads, bLayout), single, what);
          }
        }
      }
    }
  }
});

test("packed weights keep every number, fill their tail with zeros and give single rows back", () => {
  const { kernels, memory } = baseline;
  for (const n of [1, 3, 4, 5, 8, 13, 24]) {
    for (const k of [1, 2, 4, 7, 33]) {
      const room = new Room(memory);
      const w = matrix(n, k, n * k);
      const source = lay(room, w, false, 0).address;
      const size = kernels.panelFloats(n, k);
      const panels = room.take(size);
      kernels.packWeight(panels, source, n, k);
      const packed = room.get(panels, size);
      for (let row = 0; row < size / k; row++) {
        for (let step = 0; step < k; step++) {
          const lane = packed[Math.floor(row / 8) * k * 8 + step * 8 + (row % 8)];
          if (lane !== (row < n ? w.data[row * k + step] : 0)) throw new Error(`row ${row}`);
        }
      }
      const back = room.take(n * k);
      kernels.unpackWeight(back, panels, n, k);
      expectSameBits(room.get(back, n * k), w.data);
      const row = room.take(k);
      for (let i = 0; i < n; i++) {
        kernels.panelRow(row, panels, k, i);
        expectSameBits(room.get(row, k), w.data.slice(i * k, (i + 1) * k));
      }
      room.check();
    }
  }
});

test.run();
