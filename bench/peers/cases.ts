// lowrank beside others on the same cases, in the order in which they are measured.

import type { Case } from "../entry.ts";
import { peerDecodeCases } from "./decode.ts";
import { peerOpCase } from "./op.ts";
import { runtimeCase } from "./runtimes.ts";
import { peerStartCase } from "./start.ts";
import { peerStepCases } from "./steps.ts";

export const peerCases: readonly Case[] = [
  ...peerStepCases,
  ...peerDecodeCases,
  peerOpCase,
  peerStartCase,
  runtimeCase,
];
