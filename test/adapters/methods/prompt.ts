// A prompt before the text (Lester et al. 2021, arXiv:2104.08691): n vectors that train stand for tokens, at positions 0 to
// n − 1. Their own hidden states predict nothing.

import type { AdapterMethod } from "../../../src/adapters/method.ts";
import { whole } from "../../../src/adapters/option.ts";
import { isBeginning, preceded, repeated } from "../../../src/nn/context.ts";
import type { Layer } from "../../../src/nn/layer.ts";
import { concat, slice } from "../../../src/tensor/shape.ts";

export const prompt: AdapterMethod<{ readonly tokens: number }> = {
  name: "Prompt",
  peftType: "TEST_PROMPT",
  options: {
    tokens: { key: "tokens", fallback: 2, help: "n", check: whole(1, 100), trains: true },
  },
  keys: ["prompt"],
  sites: ["model"],
  make({ module }, { tokens }, tensor) {
    const { hiddenSize } = module as Layer;
    const vectors = tensor("prompt", [tokens, hiddenSize], { kind: "normal", std: 0.5 });
    return {
      virtualTokens: tokens,
      around(x, next, { context }) {
        if (!context || !isBeginning(context)) return next(x);
        const [b = 0, t = 0] = x.shape;
        const before = repeated(vectors, b).reshape([b, tokens, hiddenSize]);
        const h = next(concat([before, x], 1), preceded(context, tokens, true));
        return slice(h, 1, tokens, tokens + t);
      },
    };
  },
};
