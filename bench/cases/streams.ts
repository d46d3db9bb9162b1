// Ops without products: exp by itself, in cached memory, and others as a share of what memory gives, which is the speed of
// y = −x: 8 bytes an element, read and written. AdamW reads four numbers for each weight and writes three.

import type { Engine } from "../../src/core/engine.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { exp, gelu, neg, silu } from "../../src/tensor/activation.ts";
import { ones } from "../../src/tensor/create.ts";
import { layerNorm, rmsNorm } from "../../src/tensor/norm.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { softmax } from "../../src/tensor/softmax.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type Build, engineRoof, withEngines } from "../build.ts";
import type { Case, Entry } from "../entry.ts";
import { mapped } from "../figure.ts";
import { type Entrant, race } from "../race.ts";

/** Numbers that stay in the second cache, and rows of numbers that do not. */
const CACHED = 16_384;
const ROWS = 2048;
const WIDTH = 768;
const COPIED = 8;
const UPDATED = 28;

function expEntry(engine: Engine, build: Build): Entry {
  const x = engine.run(() => normal([CACHED], { seed: 1 }));
  const run = race(
    [{ name: "exp", calls: 200, run: () => engine.run(() => scope(() => void exp(x))) }],
    { rounds: 10, seconds: 1, roof: engineRoof(engine), fullClock: true },
  );
  const inverse = mapped(run.times("exp"), (milliseconds) => CACHED / (1e6 * milliseconds));
  return {
    id: `exp-${build}`,
    what: `exp of numbers in the cache, ${build}`,
    unit: "elements/ns",
    // Fast rounds have high values here.
    figure: { ...inverse, low: inverse.high, high: inverse.low },
    roof: { speed: run.roof / 1e9, unit: "GFLOP/s" },
    disturbed: run.isDisturbed,
  };
}

/** The ops, each from x [ROWS, WIDTH] to as much. */
function entrantsIn(engine: Engine): Entrant[] {
  return engine.run(() => {
    const x = normal([ROWS, WIDTH], { seed: 1 });
    const gain = ones([WIDTH]);
    const bias = normal([WIDTH], { seed: 2 });
    const ops: Readonly<Record<string, () => Tensor>> = {
      copy: () => neg(x),
      gelu: () => gelu(x, { approximate: "tanh" }),
      silu: () => silu(x),
      softmax: () => softmax(x),
      layerNorm: () => layerNorm(x, gain, bias, 1e-5),
      rmsNorm: () => rmsNorm(x, gain, 1e-6),
    };
    const weights = normal([ROWS, WIDTH], { seed: 3, requiresGrad: true });
    scope(() => weights.sum().backward());
    const optimizer = new AdamW([weights], { lr: 1e-6 });
    return [
      ...Object.entries(ops).map(([name, op]) => ({
        name,
        calls: 4,
        run: () => engine.run(() => scope(() => void op())),
      })),
      { name: "AdamW", calls: 4, run: () => engine.run(() => optimizer.step()) },
    ];
  });
}

function streamEntries(engine: Engine): Entry[] {
  const entrants = entrantsIn(engine);
  const run = race(entrants, { rounds: 20, seconds: 3 });
  const speed = (COPIED * ROWS * WIDTH) / (1e6 * run.times("copy").best);
  return entrants.slice(1).map(({ name }) => ({
    id: `stream-${name}`,
    what: `${name}, [${ROWS}, ${WIDTH}], beside memory's speed`,
    unit: "share",
    figure: mapped(run.over("copy", name), (ratio) =>
      name === "AdamW" ? (ratio * UPDATED) / COPIED : ratio,
    ),
    roof: { speed, unit: "GB/s" },
  }));
}

export const streamsCase: Case = {
  name: "streams",
  ids: [
    "exp-baseline",
    "exp-relaxed",
    ...["gelu", "silu", "softmax", "layerNorm", "rmsNorm", "AdamW"].map((op) => `stream-${op}`),
  ],
  run: async () => [
    await withEngines("baseline", [1], (engine) => expEntry(engine, "baseline")),
    ...(await withEngines("relaxed", [1], (engine) => [
      expEntry(engine, "relaxed"),
      ...streamEntries(engine),
    ])),
  ],
};
