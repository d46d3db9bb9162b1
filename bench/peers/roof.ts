// The arithmetic roof as a system, so that what the hardware gives to 128-bit vectors is measured in turns with the
// others: a run does ROOF_WORK floating point operations in registers.

import { arithmeticRoof, loadCore } from "../build.ts";
import { type Built, serve } from "./serve.ts";

await serve(async ({ build = "relaxed" }): Promise<Built> => {
  const { run } = arithmeticRoof(loadCore(build).kernels);
  return { version: `registers alone, ${build} build`, run };
});
