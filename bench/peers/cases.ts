import type { Case } from "../entry.ts";
export const peerCases: readonly Case[] = [];
