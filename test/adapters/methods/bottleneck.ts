// A bottleneck behind each MLP (Houlsby et al. 2019, arXiv:1902.00751): h + relu(h·Dᵀ)·Uᵀ, where U is zero at first.

import type { AdapterMethod } from "../../../src/adapters/method.ts";
import { whole } from "../../../src/adapters/option.ts";
import { relu } from "../../../src/tensor/activation.ts";
import { linear } from "../../../src/tensor/linear.ts";

export const bottleneck: AdapterMethod<{ readonly size: number }> = {
  name: "Bottleneck",
  peftType: "TEST_BOTTLENECK",
  options: {
    size: { key: "size", fallback: 3, help: "width", check: whole(1, 1000), trains: true },
  },
  keys: ["down", "up"],
  sites: ["mlp"],
  make({ module }, { size }, tensor) {
    const { hiddenSize } = module as { readonly hiddenSize: number };
    const down = tensor("down", [size, hiddenSize], { kind: "normal", std: 0.1 });
    const up = tensor("up", [hiddenSize, size], { kind: "constant", value: 0 });
    return {
      around(x, next) {
        const h = next(x);
        return h.add(linear(relu(linear(h, down)), up));
      },
    };
  },
};
