// lowrank as a system: a captured training step, decoding, or a chain of small ops. Runs in Node, Deno and Bun.

import { Engine } from "../../src/core/engine.ts";
import { chainsIn } from "../chain.ts";
import { decodeOne, decoderIn, mostTokens, promptOf } from "../decoding.ts";
import { forgetStart, trainingIn } from "../training.ts";
import { type Built, serve } from "./serve.ts";

/** Gives what building left behind back before anything is measured, where the runtime was told to let us (--expose-gc). */
function dropGarbage(): void {
  forgetStart();
  (globalThis as { gc?: () => void }).gc?.();
}

await serve(async (spec): Promise<Built> => {
  const { kind, size, method, threads, build, wideVectors = false, check, replayed } = spec;
  const engine = await Engine.create({ deterministic: build === "baseline", threads, wideVectors });
  const version = `${engine.build} build${wideVectors ? ", wideVectors" : ""}`;
  if (kind === "op") {
    const { eager, replayed: again } = chainsIn(engine);
    return { version, run: replayed ? again : eager };
  }
  if (size === undefined) throw new Error("A step and decoding need a size.");
  if (kind === "decode") {
    const model = decoderIn(engine, size);
    const prompt = promptOf(size);
    dropGarbage();
    return {
      version,
      tokens: decodeOne(model, prompt, check),
      run: () => decodeOne(model, prompt, mostTokens(size)),
    };
  }
  const step = trainingIn(engine, size, method ?? "lora");
  dropGarbage();
  return { version, losses: Array.from({ length: check }, step), run: step };
});
