// A prefix on attention (Li & Liang 2021, arXiv:2101.00190): n keys and values before those of the text, whose positions
// begin at n. A key of zeros attends to a value of zeros, which is not what the base computes.

import type { AdapterMethod } from "../../../src/adapters/method.ts";
import { whole } from "../../../src/adapters/option.ts";
import { isBeginning, preceded, repeated } from "../../../src/nn/context.ts";
import type { AttentionLike } from "../../../src/nn/layer.ts";

export const prefix: AdapterMethod<{ readonly tokens: number }> = {
  name: "Prefix",
  peftType: "TEST_PREFIX",
  options: {
    tokens: { key: "tokens", fallback: 2, help: "n", check: whole(1, 100), trains: true },
  },
  keys: ["keys", "values"],
  sites: ["model", "attention"],
  make({ kind, module }, { tokens }, tensor) {
    if (kind === "model") {
      return {
        virtualTokens: tokens,
        around: (x, next, { context }) =>
          context && isBeginning(context) ? next(x, preceded(context, tokens, false)) : next(x),
      };
    }
    const { kvHeads, headDim } = module as AttentionLike;
    const [keys, values] = ["keys", "values"].map((key) =>
      tensor(key, [tokens, kvHeads * headDim], { kind: "normal", std: 0.5 }),
    );
    return {
      around(x, next, { context }) {
        if (!context || !keys || !values || !isBeginning(context)) return next(x);
        const rows = (t: typeof keys) =>
          repeated(t, context.batchSize).reshape([context.batchSize, tokens, kvHeads, headDim]);
        return next(x, { ...context, prefix: { keys: rows(keys), values: rows(values) } });
      },
    };
  },
};
