// What it is worth to pack a frozen weight for dX = dY·W as well: forward and backward of one layer with LoRA, for few
// rows of x, where packing W takes as long as multiplying by it, and for many.

import type { Engine } from "../../src/core/engine.ts";
import { linear } from "../../src/tensor/linear.ts";
import type { Prepack } from "../../src/tensor/pack.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engineRoof, withEngines } from "../build.ts";
import type { Case, Entry } from "../entry.ts";
import { type Entrant, race } from "../race.ts";

const WIDTH = 768;
const RANK = 8;
const ROWS = [1, 16, 128];

function passOf(engine: Engine, rows: number, prepack: Prepack): Entrant {
  return engine.run(() => {
    const made = (shape: readonly number[], seed: number) =>
      normal(shape, { seed, requiresGrad: true });
    const [x, a, b] = [made([rows, WIDTH], 1), made([RANK, WIDTH], 2), made([WIDTH, RANK], 3)];
    const w = normal([WIDTH, WIDTH], { seed: 4 });
    w.pack({ prepack });
    return {
      name: prepack,
      calls: Math.ceil(32 / rows) + 4,
      run: () =>
        engine.run(() => scope(() => linear(x, w, null, { a, b, scale: 1 }).sum().backward())),
    };
  });
}

function measure(engine: Engine): Entry[] {
  return ROWS.map((rows) => {
    const run = race([passOf(engine, rows, "forward"), passOf(engine, rows, "both")], {
      rounds: 12,
      seconds: 2,
      roof: engineRoof(engine),
    });
    return {
      id: `prepack-${rows}`,
      what: `prepack "both" over "forward", a layer of ${WIDTH} with LoRA, ${rows} rows`,
      unit: "ratio",
      figure: run.over("both", "forward"),
      roof: { speed: run.roof / 1e9, unit: "GFLOP/s" },
    };
  });
}

export const prepackCase: Case = {
  name: "prepack",
  ids: ROWS.map((rows) => `prepack-${rows}`),
  run: () => withEngines("relaxed", [1], measure),
};
