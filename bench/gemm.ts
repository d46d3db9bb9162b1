// Matrix products as shares of the roof: squares and the shapes of a small Transformer, in every operand layout.
//   NT  x·Wᵀ from rows of W      NN  dY·W from rows of W       TN  dYᵀ·X
//   PP  x·Wᵀ from packed W       PT  dY·W from packed W        LR  PP with a low-rank branch of rank 8
import { asShare } from "./figure.ts";
import {
  againstRoof,
  type Core,
  loadCore,
  type RoofOptions,
  type RoofResult,
  type Task,
} from "./roof.ts";

type Variant = "NT" | "NN" | "TN" | "PP" | "PT" | "LR";

const every: readonly Variant[] = ["NT", "NN", "TN", "PP"];
// [M, N, K] and the layouts in which a Transformer meets the shape.
const shapes: readonly (readonly [number, number, number, readonly Variant[]])[] = [
  [64, 64, 64, every],
  [128, 128, 128, every],
  [256, 256, 256, every],
  [512, 512, 512, every],
  [128, 768, 768, [...every, "PT", "LR"]],
  [128, 2048, 256, ["PP"]],
  [128, 8, 768, ["NT"]],
  [8, 768, 128, ["TN"]],
  [768, 8, 128, ["TN"]],
  [1, 768, 768, ["PP", "NT"]],
  [4, 768, 768, ["PP"]],
];
const Rank = 8;
// Layout numbers of assembly/gemm/policy.ts: A rows, A columns; B rows, B columns, panels, panels transposed.
const layouts: Record<Variant, readonly [number, number]> = {
  NT: [0, 1],
  NN: [0, 0],
  TN: [1, 0],
  PP: [0, 2],
  PT: [0, 3],
  LR: [0, 2],
};

// Every task reads the same A and B and writes the same C: 16 MB apart, more than any shape here needs.
const Region = 2 ** 24;
const [A, B, C] = [Region / 4, Region, 2 * Region];

function task({ kernels }: Core, m: number, n: number, k: number, variant: Variant): Task {
  const [aLayout, bLayout] = layouts[variant];
  const lda = aLayout === 0 ? k : m;
  const ldb = bLayout === 1 ? k : n;
  const base = [m, n, k, A, aLayout, lda, B, bLayout, ldb, C, n, 0] as const;
  const threads = [C + Region / 2, 0, 1] as const;
  // t [m, r] and Bt [n, r] lie where A and B do: only the time matters.
  const branch = [0, Rank, A, Rank, B, 1, Rank] as const;
  return {
    name: `${m}x${n}x${k} ${variant}`,
    operations: 2 * m * n * k,
    run:
      variant === "LR"
        ? () => kernels.gemmLowRank(...base, ...branch, ...threads)
        : () => kernels.gemm(...base, ...threads),
  };
}

/** Measures one build; undefined where the runtime cannot run it. Prints a line a shape. */
export async function benchGemm(
  build: "baseline" | "relaxed",
  options: RoofOptions = {},
): Promise<RoofResult | undefined> {
  const core = loadCore(build);
  if (core === undefined) return undefined;
  const floats = new Float32Array(core.memory.buffer);
  for (let i = A / 4; i < C / 4; i++) floats[i] = ((i * 7919) % 1024) / 1024 - 0.5;
  const tasks = shapes.flatMap(([m, n, k, variants]) =>
    variants.map((variant) => task(core, m, n, k, variant)),
  );
  const result = await againstRoof(core, tasks, options);
  const care = result.rounds < 3 ? "; the machine was disturbed, so take them with care" : "";
  console.log(
    `${build}: roof ${result.roof.toFixed(1)} GFLOP/s; shares of it, each in ${result.rounds} or more rounds at full clock${care}`,
  );
  for (const [m, n, k, variants] of shapes) {
    const name = `${m}x${n}x${k}`;
    const cells = variants.map((variant) => {
      const { figure } = result.ratios.find((ratio) => ratio.name === `${name} ${variant}`)!;
      return `${variant} ${asShare(figure)}`;
    });
    console.log(`  ${name.padEnd(12)} ${cells.join("  ")}`);
  }
  return result;
}
