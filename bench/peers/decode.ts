// Greedy decoding beside ONNX Runtime, native and in WebAssembly: whole generations, until the positions are full.

import { mostTokens } from "../decoding.ts";
import type { Case } from "../entry.ts";
import type { Spec } from "./system.ts";
import { bests, has, lowrank, overOf, peer, takeTurns } from "./turns.ts";

const ROUNDS = 30;

function decodeCase(size: "M" | "L"): Case {
  const id = `peer-decode-${size}`;
  return {
    name: id,
    ids: [id],
    run: async (missing) => {
      const spec: Spec = { kind: "decode", size, threads: 1, check: 8 };
      const peers = ["onnx-node", "onnx-web"];
      const turns = await takeTurns(
        [lowrank(spec, 1), ...peers.map((name) => peer(name, spec, 1))],
        { rounds: ROUNDS, seconds: 25 },
        missing,
      );
      if (!has(turns, "lowrank", "onnx-node")) return [];
      const tokens = Object.entries(bests(turns)).map(([name, time]) => [
        name.replace(/Ms$/, "TokensPerSecond"),
        (1000 * mostTokens(size)) / time,
      ]);
      return [
        {
          id,
          what: `greedy decoding of ${size}, speed over onnxruntime-node's`,
          unit: "times",
          figure: overOf(turns, "onnx-node", "lowrank"),
          measured: Object.fromEntries(tokens) as Record<string, number>,
        },
      ];
    },
  };
}

export const peerDecodeCases: readonly Case[] = (["M", "L"] as const).map(decodeCase);
