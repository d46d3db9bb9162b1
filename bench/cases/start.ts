// From the start of a process to the first product, over a process that does nothing: import, init() and a product of
// 64, in alternating processes of the same Node. The best is the difference of the shortest, the median that of medians.

import { fileURLToPath } from "node:url";
import type { Case } from "../entry.ts";
import { percentile } from "../figure.ts";
import { startInTurns } from "../startup.ts";

const ROUNDS = 20;

export const startCase: Case = {
  name: "start",
  ids: ["start"],
  run: async () => {
    const [empty = [], product = []] = await startInTurns(
      ["empty", "product"].map((name) => ({
        program: process.execPath,
        arguments: [fileURLToPath(new URL(`../start/${name}.js`, import.meta.url))],
      })),
      ROUNDS,
    );
    const differences = product.map((time, i) => time - (empty[i] ?? Number.NaN));
    const [shortest, shortestEmpty] = [Math.min(...product), Math.min(...empty)];
    return [
      {
        id: "start",
        what: "from process start to the first product, over an empty Node",
        unit: "ms",
        figure: {
          best: shortest - shortestEmpty,
          median: percentile(product, 0.5) - percentile(empty, 0.5),
          low: percentile(differences, 0.1),
          high: percentile(differences, 0.9),
          rounds: ROUNDS,
        },
        measured: { productMs: shortest, emptyMs: shortestEmpty },
      },
    ];
  },
};
