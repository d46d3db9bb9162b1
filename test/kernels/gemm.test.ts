// Matrix products against sums written out one by one (bits) and float64 products (error bounds), in both builds.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
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

interface Product {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly aLayout?: number;
  readonly bLayout?: number;
  readonly pad?: number;
  readonly threads?: number;
  /** What C holds before (accumulated into), if anything. */
  readonly start?: Float32Array;
}

// C [m, n] without gaps, computed slice after slice; guard words are checked.
function run(build: Build, product: Product): Float32Array {
  const { a, b, aLayout = Rows, bLayout = Rows, pad = 0, threads = 1, start } = product;
  const [m, n, k] = [a.rows, b.columns, a.columns];
  const room = new Room(build.memory);
  const pa = lay(room, a, aLayout === Cols, pad);
  const pb = layB(build, room, b, bLayout, pad);
  const ldc = n + pad;
  const c = room.take(Math.max(0, m * ldc - pad), gapsOf(m, n, ldc));
  const floats = new Float32Array(build.memory.buffer);
  for (let i = 0; i < m && start !== undefined; i++) {
    floats.set(start.subarray(i * n, i * n + n), c / 4 + i * ldc);
  }
  const { gemm, gemmScratch } = build.kernels;
  const scratch = room.take(gemmScratch(m, n, k, bLayout, threads) / 4);
  const accumulate = start === undefined ? 0 : 1;
  for (let thread = 0; thread < threads; thread++) {
    gemm(
      ...[m, n, k, pa.address, aLayout, pa.ld, pb.address, bLayout, pb.ld, c, ldc],
      ...[accumulate, scratch, thread, threads],
    );
  }
  room.check();
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) out.set(room.get(c + i * ldc * 4, n), i * n);
  return out;
}

const seeds = fc.integer({ min: 0, max: 2 ** 30 });
const small = fc.integer({ min: 0, max: 40 });
const anyProduct = fc.record({
  shape: fc.tuple(small, small, small),
  aLayout: fc.constantFrom(Rows, Cols),
  bLayout: fc.constantFrom(Rows, Cols, Panels, PanelsT),
  pad: fc.integer({ min: 0, max: 5 }),
  accumulates: fc.boolean(),
  threads: fc.integer({ min: 1, max: 3 }),
  seed: seeds,
});
// Either side of the edges of tiles (4, 8), row blocks (128), column blocks (512) and k blocks (256, 512).
const edgeShapes: readonly (readonly [number, number, number])[] = [
  [1, 65, 513],
  [2, 31, 511],
  [3, 17, 1025],
  [4, 8, 512],
  [8, 24, 520],
  [40, 48, 30],
  [5, 9, 513],
  [45, 6, 600],
  [6, 12, 1024],
  [7, 15, 257],
  [2, 66, 700],
  [6, 66, 1100],
  [127, 7, 255],
  [128, 8, 256],
  [130, 4, 70],
  [131, 3, 66],
  [261, 10, 9],
  [2, 1025, 5],
  [5, 1023, 3],
  [6, 1031, 8],
  [9, 520, 6],
  [4, 2060, 1],
];
const layouts = [Rows, Cols].flatMap((a) =>
  [Rows, Cols, Panels, PanelsT].map((b) => [a, b] as const),
);

// The numbers that C holds before an accumulating product.
function startOf(a: Matrix, b: Matrix, seed: number): Float32Array {
  return Float32Array.from(matrix(a.rows, b.columns, seed + 2).data);
}

function checkBound(build: Build, product: Product): void {
  const { value, magnitude } = exact(product.a, product.b);
  const { start } = product;
  // K products and additions, one addition a block of k, one into C: an element of magnitude |c| + |a||b| meets
  // at most K + 2 roundings.
  const bound = gamma(product.a.columns + 2);
  const expected = value.map((x, i) => x + (start?.[i] ?? 0));
  const tolerance = magnitude.map((x, i) => bound * (x + Math.abs(start?.[i] ?? 0)));
  expectClose(run(build, product), expected, tolerance);
}

test("every layout sums over k in order, block by block, bit for bit (baseline)", () => {
  fc.assert(
    fc.property(anyProduct, ({ shape: [m, n, k], accumulates, seed, ...rest }) => {
      const [a, b] = [matrix(m, k, seed), matrix(k, n, seed + 1)];
      const product = { a, b, ...rest, ...(accumulates ? { start: startOf(a, b, seed) } : {}) };
      expectSameBits(
        run(baseline, product),
        sequential(a, b, accumulates ? startOf(a, b, seed) : undefined, baseline.kc),
      );
    }),
    { numRuns: 400 },
  );
});

test("sums keep their order and bits on either side of every block edge (baseline)", () => {
  for (const [m, n, k] of edgeShapes) {
    const [a, b] = [matrix(m, k, m), matrix(k, n, n)];
    const start = startOf(a, b, k);
    const plain = sequential(a, b, undefined, baseline.kc);
    const added = sequential(a, b, start, baseline.kc);
    for (const [aLayout, bLayout] of layouts) {
      const what = `${m}x${n}x${k} layouts ${aLayout} ${bLayout}`;
      expectSameBits(run(baseline, { a, b, aLayout, bLayout }), plain, what);
      expectSameBits(run(baseline, { a, b, aLayout, bLayout, start, pad: 3 }), added, what);
    }
  }
});

test("the error stays within gamma(K + 2) of a float64 product", () => {
  for (const build of builds) {
    fc.assert(
      fc.property(anyProduct, ({ shape: [m, n, k], accumulates, seed, ...rest }) => {
        const [a, b] = [matrix(m, k, seed), matrix(k, n, seed + 1)];
        checkBound(build, {
          a,
          b,
          ...rest,
          ...(accumulates ? { start: startOf(a, b, seed) } : {}),
        });
      }),
      { numRuns: 200 },
    );
    for (const [m, n, k] of edgeShapes)
      checkBound(build, { a: matrix(m, k, 1), b: matrix(k, n, 2) });
  }
});

test("layout, padding and thread count do not change a bit", () => {
  for (const build of builds) {
    for (const [m, n, k] of edgeShapes) {
      const [a, b] = [matrix(m, k, m), matrix(k, n, n)];
      const one = run(build, { a, b });
      for (const [aLayout, bLayout] of layouts) {
        for (const threads of [1, 2, 3]) {
          const other = run(build, { a, b, aLayout, bLayout, threads, pad: threads - 1 });
          const what = `${build.name} ${m}x${n}x${k} ${aLayout} ${bLayout} ${threads}`;
          expectSameBits(other, one, what);
        }
      }
    }
  }
});

test("every form of the tiles gives the same bits", () => {
  for (const build of builds) {
    const check = (product: Product, what: string): void => {
      const expected = run(build, product);
      for (const form of [1, 2, 3]) {
        build.kernels.setTileForm(form);
        const other = run(build, product);
        build.kernels.setTileForm(0);
        expectSameBits(other, expected, `${build.name} form ${form} ${what}`);
      }
    };
    for (const [m, n, k] of edgeShapes) {
      for (const aLayout of [Rows, Cols]) {
        for (const bLayout of [Rows, Panels]) {
          const what = `${m}x${n}x${k} ${aLayout} ${bLayout}`;
          check({ a: matrix(m, k, m), b: matrix(k, n, n), aLayout, bLayout }, what);
        }
      }
    }
    fc.assert(
      fc.property(anyProduct, fc.boolean(), ({ shape, accumulates, seed, ...rest }, broad) => {
        // Broad: columns for one wide tile or two, and any rest.
        const [m, n, k] = [shape[0], shape[1] + (broad ? 24 : 0), shape[2]];
        const [a, b] = [matrix(m, k, seed), matrix(k, n, seed + 1)];
        const start = accumulates ? { start: startOf(a, b, seed) } : {};
        check({ a, b, ...rest, ...start }, `${m}x${n}x${k}`);
      }),
      { numRuns: 200 },
    );
  }
});

test("a row of the result depends on its own row of A alone: few rows equal the rows of many", () => {
  for (const build of builds) {
    for (const [n, k] of [
      [1, 1],
      [7, 30],
      [24, 513],
      [67, 260],
      [100, 1030],
    ] as const) {
      const [a, b] = [matrix(9, k, k), matrix(k, n, n)];
      const all = run(build, { a, b });
      for (const [aLayout, bLayout] of layouts) {
        for (const rows of [1, 2, 3, 5]) {
          const from = 9 - rows;
          const part = { rows, columns: k, data: a.data.slice(from * k) };
          const what = `${build.name} ${rows} rows, ${n}x${k}, ${aLayout} ${bLayout}`;
          expectSameBits(run(build, { a: part, b, aLayout, bLayout }), all.slice(from * n), what);
        }
      }
    }
  }
});

test("a NaN in one row of A, or one column of B, leaves the others alone", () => {
  for (const build of builds) {
    for (const m of [1, 2, 3, 7, 12]) {
      const [a, b] = [matrix(m, 19, 1), matrix(19, 21, 2)];
      const clean = run(build, { a, b });
      const [badRow, badColumn] = [m - 1, 13];
      const aBad = { ...a, data: a.data.map((x, i) => (i === badRow * 19 + 4 ? Number.NaN : x)) };
      const bBad = {
        ...b,
        data: b.data.map((x, i) => (i === 6 * 21 + badColumn ? Number.NaN : x)),
      };
      for (const [aLayout, bLayout] of layouts) {
        const dirty = run(build, { a: aBad, b: bBad, aLayout, bLayout });
        const isBad = (i: number): boolean => Math.floor(i / 21) === badRow || i % 21 === badColumn;
        expectSameBits(
          dirty,
          clean.map((x, i) => (isBad(i) ? Number.NaN : x)),
        );
      }
    }
  }
});

test("an empty sum gives zeros, or leaves what it would add to", () => {
  for (const build of builds) {
    for (const m of [1, 3, 6]) {
      const [a, b] = [matrix(m, 0, 1), matrix(0, 11, 2)];
      const start = startOf(a, b, 5);
      for (const [aLayout, bLayout] of layouts) {
        assert.equal(run(build, { a, b, aLayout, bLayout, pad: 2 }), new Float32Array(m * 11));
        assert.equal(run(build, { a, b, aLayout, bLayout, pad: 2, start }), start);
      }
    }
  }
});

test.run();
