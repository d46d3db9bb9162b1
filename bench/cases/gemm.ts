// Matrix products on one thread as shares of the roof, in CPU time: squares and a layer of a small Transformer, in
// every layout of the operands, products of rank 8, and what the low-rank branch adds to a layer.
//   NT  x·Wᵀ from rows of W      NN  dY·W from rows of W       TN  dYᵀ·X
//   PP  x·Wᵀ from packed W       LR  PP with a low-rank branch of rank 8

import { arithmeticRoof, type Build, type Core, loadCore } from "../build.ts";
import type { Case, Entry } from "../entry.ts";
import { type Figure, mapped } from "../figure.ts";
import { cpuTime, type Entrant, type Race, race } from "../race.ts";

type Variant = "NT" | "NN" | "TN" | "PP" | "LR";
type Shape = readonly [m: number, n: number, k: number];

const SQUARES = [64, 128, 256, 512, 1024];
const LAYER: Shape = [128, 768, 768];
const THIN: readonly (readonly [Shape, Variant])[] = [
  [[128, 8, 768], "NT"],
  [[768, 8, 128], "TN"],
];
const RANK = 8;
// Layout numbers of assembly/gemm/blocking.ts: A rows, A columns; B rows, B columns, panels.
const LAYOUTS: Record<Variant, readonly [number, number]> = {
  NT: [0, 1],
  NN: [0, 0],
  TN: [1, 0],
  PP: [0, 2],
  LR: [0, 2],
};

// Every product reads the same A and B and writes the same C: 16 MB apart, more than any shape here needs.
const REGION = 2 ** 24;
const [A, B, C] = [REGION / 4, REGION, 2 * REGION];

function product({ kernels }: Core, [m, n, k]: Shape, variant: Variant): Entrant {
  const [aLayout, bLayout] = LAYOUTS[variant];
  const lda = aLayout === 0 ? k : m;
  const ldb = bLayout === 1 ? k : n;
  const base = [m, n, k, A, aLayout, lda, B, bLayout, ldb, C, n, 0] as const;
  const threads = [C + REGION / 2, 0, 1] as const;
  // t [m, r] and Bt [n, r] lie where A and B do: only the time matters.
  const branch = [0, RANK, A, RANK, B, 1, RANK] as const;
  return {
    name: variant,
    work: 2 * m * n * k,
    run:
      variant === "LR"
        ? () => void kernels.gemmLowRank(...base, ...branch, ...threads)
        : () => void kernels.gemm(...base, ...threads),
  };
}

interface Lane {
  readonly build: Build;
  readonly core: Core;
}

function raced({ core }: Lane, shape: Shape, variants: readonly Variant[]): Race {
  return race(
    variants.map((variant) => product(core, shape, variant)),
    {
      rounds: 10,
      seconds: 1.8,
      window: 4,
      now: cpuTime,
      roof: arithmeticRoof(core.kernels),
      fullClock: true,
    },
  );
}

function shareEntry({ build }: Lane, id: string, what: string, run: Race, variant: Variant): Entry {
  return {
    id: id.replace("*", build),
    what: `${what}, ${build}`,
    unit: "share",
    figure: run.share(variant),
    roof: { speed: run.roof / 1e9, unit: "GFLOP/s" },
    measured: { milliseconds: run.times(variant).best },
    disturbed: run.isDisturbed,
  };
}

/** The worst shape of a layout, with all of them beside it. */
function layoutEntry(
  { build }: Lane,
  layout: "nt" | "tn",
  found: readonly { readonly name: string; readonly figure: Figure; readonly race: Race }[],
): Entry {
  const worst = found.reduce((a, b) => (b.figure.best > a.figure.best ? b : a));
  return {
    id: `layout-${build}-${layout}`,
    what: `${layout.toUpperCase()} over NN, the worst shape (${worst.name}), ${build}`,
    unit: "ratio",
    figure: worst.figure,
    roof: { speed: worst.race.roof / 1e9, unit: "GFLOP/s" },
    measured: Object.fromEntries(found.map(({ name, figure }) => [name, figure.best])),
    disturbed: worst.race.isDisturbed,
  };
}

function measure(lane: Lane): Entry[] {
  const { build, core } = lane;
  const floats = new Float32Array(core.memory.buffer);
  for (let i = A / 4; i < C / 4; i++) floats[i] = ((i * 7919) % 1024) / 1024 - 0.5;
  const squares = SQUARES.map((n) => ({
    name: String(n),
    n,
    race: raced(lane, [n, n, n], n < 128 ? ["NN"] : ["NN", "NT", "TN"]),
  }));
  const layer = raced(lane, LAYER, ["PP", "LR", "NN", "NT", "TN"]);
  const wide = [
    ...squares.filter(({ n }) => n >= 128),
    { name: LAYER.join("x"), race: layer },
  ] as const;
  const over = (variant: "NT" | "TN") =>
    wide.map(({ name, race }) => ({ name, race, figure: race.over(variant, "NN") }));
  return [
    ...squares.map(({ name, race }) =>
      shareEntry(lane, `gemm-*-${name}`, `product of ${name}`, race, "NN"),
    ),
    shareEntry(lane, "gemm-*-prepacked", `${LAYER.join("x")}, W packed`, layer, "PP"),
    layoutEntry(lane, "nt", over("NT")),
    layoutEntry(lane, "tn", over("TN")),
    ...THIN.map(([shape, variant]) => {
      const name = shape.join("x");
      const thin = raced(lane, shape, [variant]);
      return shareEntry(lane, `rank8-*-${name}`, `rank 8, ${name} ${variant}`, thin, variant);
    }),
    {
      id: `branch-${build}`,
      what: `low-rank branch over the plain layer, ${LAYER.join("x")}, ${build}`,
      unit: "excess",
      figure: mapped(layer.over("LR", "PP"), (ratio) => ratio - 1),
      roof: { speed: layer.roof / 1e9, unit: "GFLOP/s" },
      measured: { withMs: layer.times("LR").best, withoutMs: layer.times("PP").best },
      disturbed: layer.isDisturbed,
    },
  ];
}

/** One case a build. */
export const gemmCases: readonly Case[] = (["baseline", "relaxed"] as const).map((build) => ({
  name: `gemm-${build}`,
  ids: [
    ...SQUARES.map((n) => `gemm-${build}-${n}`),
    ...[`gemm-${build}-prepacked`, `layout-${build}-nt`, `layout-${build}-tn`],
    ...THIN.map(([shape]) => `rank8-${build}-${shape.join("x")}`),
    `branch-${build}`,
  ],
  run: async () => measure({ build, core: loadCore(build) }),
}));
