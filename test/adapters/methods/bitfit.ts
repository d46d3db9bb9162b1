// BitFit (Ben Zaken et al. 2021, arXiv:2106.10199): the biases of the base train, as copies that are in their place while
// the adapter takes part.

import type { AdapterMethod } from "../../../src/adapters/method.ts";
import type { LinearLike } from "../../../src/nn/linear.ts";

export const bitfit: AdapterMethod<Record<never, never>> = {
  name: "BitFit",
  peftType: "TEST_BITFIT",
  options: {},
  keys: ["bias"],
  sites: ["linear"],
  make({ module }, _, tensor) {
    const { bias } = module as LinearLike;
    if (bias === null) return { merged: (weight) => ({ weight, bias }) };
    const own = tensor("bias", bias.shape, { kind: "copy", of: bias });
    return {
      replaces: new Map([["bias", own]]),
      merged: (weight) => ({ weight, bias: own }),
    };
  },
};
