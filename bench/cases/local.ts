// What needs nothing but lowrank, in the order in which it is measured.

import type { Case } from "../entry.ts";
import { decodeCases } from "./decode.ts";
import { gemmCases } from "./gemm.ts";
import { ladderCase } from "./ladder.ts";
import { memoryCase } from "./memory.ts";
import { opCase } from "./op.ts";
import { prepackCase } from "./prepack.ts";
import { startCase } from "./start.ts";
import { stepCases } from "./steps.ts";
import { streamsCase } from "./streams.ts";
import { threadsCase } from "./threads.ts";
import { wideCase } from "./wide.ts";

export const localCases: readonly Case[] = [
  ...gemmCases,
  threadsCase,
  streamsCase,
  opCase,
  prepackCase,
  ...stepCases,
  wideCase,
  ...decodeCases,
  startCase,
  memoryCase,
  ladderCase,
];
