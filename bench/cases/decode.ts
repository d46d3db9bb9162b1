// Greedy decoding on one thread: tokens a second of one sequence, beside the time that reading the weights once takes,
// and what sixteen sequences at once give. Sixteen go on for fewer tokens; one is timed for as many beside them.

import type { Engine } from "../../src/core/engine.ts";
import { commonSizes } from "../../test/golden/common-model.ts";
import { readRoof, withEngines } from "../build.ts";
import {
  decodeMany,
  decodeOne,
  decoderIn,
  expectGreedy,
  mostTokens,
  promptOf,
} from "../decoding.ts";
import type { Case, Entry } from "../entry.ts";
import { mapped } from "../figure.ts";
import { race } from "../race.ts";
import { forgetStart, productWeights, type SizeName } from "../training.ts";

const ROWS = 16;
const EFFORT = {
  M: { rounds: 12, tokens: 120, seconds: 6 },
  L: { rounds: 12, tokens: 24, seconds: 6 },
} as const;

function measure(name: SizeName, engine: Engine): Entry[] {
  const { rounds, tokens, seconds } = EFFORT[name as keyof typeof EFFORT];
  const most = mostTokens(name);
  const model = decoderIn(engine, name);
  const prompt = promptOf(name);
  forgetStart();
  expectGreedy(name, decodeOne(model, prompt, 8));
  for (const row of decodeMany(model, prompt, 8, ROWS)) expectGreedy(name, row);

  const bytes = 4 * productWeights(commonSizes[name]);
  const alone = race(
    // A token reads all weights of products once.
    [{ name: "one", work: most * bytes, run: () => void decodeOne(model, prompt, most) }],
    { rounds, seconds, roof: readRoof(engine, bytes) },
  );
  const beside = race(
    [
      { name: "one", run: () => void decodeOne(model, prompt, tokens) },
      { name: "sixteen", run: () => void decodeMany(model, prompt, tokens, ROWS) },
    ],
    { rounds, seconds },
  );
  const one = alone.times("one");
  const perSecond = (count: number, milliseconds: number): number => (1000 * count) / milliseconds;
  return [
    {
      id: `decode-roof-${name}`,
      what: `greedy decoding of ${name} over reading its weights`,
      unit: "share",
      figure: alone.share("one"),
      roof: { speed: alone.roof / 1e9, unit: "GB/s" },
      measured: {
        tokensPerSecond: perSecond(most, one.best),
        tokensPerSecondMedian: perSecond(most, one.median),
      },
    },
    {
      id: `decode-sixteen-${name}`,
      what: `sixteen sequences at once over one, ${name}`,
      unit: "times",
      figure: mapped(beside.over("one", "sixteen"), (ratio) => ROWS * ratio),
      measured: {
        oneTokensPerSecond: perSecond(tokens, beside.times("one").best),
        sixteenTokensPerSecond: perSecond(ROWS * tokens, beside.times("sixteen").best),
      },
    },
  ];
}

export const decodeCases: readonly Case[] = (["M", "L"] as const).map((name) => ({
  name: `decode-${name}`,
  ids: [`decode-roof-${name}`, `decode-sixteen-${name}`],
  run: () => withEngines("relaxed", [1], (engine) => measure(name, engine)),
}));
