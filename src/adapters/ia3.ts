// IA3 on linear layers (Liu et al. 2022, arXiv:2205.05638, sec. 3.3): one vector l a layer.
//   y = l ∘ (x·Wᵀ + b)         l [N]: keys, values and other outputs
//   y = (l ∘ x)·Wᵀ + b         l [K]: the inputs of feed-forward layers
// Merging scales the rows of W and b, or the columns of W.

import { UsageError } from "../core/error.ts";
import { optionName } from "../core/wording.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer, Merged, Next } from "./layer.ts";
import { type AdapterMethod, ONLY_MODULES_TO_SAVE } from "./method.ts";
import { boolean, type OptionTable } from "./option.ts";
import { selection } from "./target.ts";
import { excludeRow, fanInFanOutRow, type Selector, selector, targetRow } from "./targeting.ts";

/** Complete and checked options. */
export interface Ia3Config {
  readonly targetModules: Selector;
  readonly excludeModules: Selector;
  readonly feedforwardModules: Selector;
  readonly initIa3Weights: boolean;
  readonly fanInFanOut: boolean;
}

const options: OptionTable<Ia3Config> = {
  targetModules: targetRow,
  excludeModules: excludeRow,
  feedforwardModules: {
    key: "feedforward_modules",
    fallback: null,
    help: "targets whose input is scaled, not their output, in the same spelling",
    check: (value, option) => selector(value, option, false),
    flag: { name: "feedforward", kind: "names" },
    trains: true,
  },
  initIa3Weights: {
    key: "init_ia3_weights",
    fallback: true,
    help: "initial values: true for ones",
    check: boolean,
  },
  fanInFanOut: fanInFanOutRow,
};

const FEEDFORWARD: Readonly<Record<string, readonly string[]>> = {
  gpt2: ["mlp.c_proj"],
  llama: ["down_proj"],
  mistral: ["down_proj"],
  qwen2: ["down_proj"],
};

/** IA3's vector on one linear layer: [N, 1], or [1, K] where the input is scaled. */
export class Ia3Layer implements AdapterLayer {
  readonly l: Tensor;
  readonly isFeedforward: boolean;

  constructor(l: Tensor, isFeedforward: boolean) {
    this.l = l;
    this.isFeedforward = isFeedforward;
  }

  around(x: Tensor, next: Next): Tensor {
    const l = this.l.reshape([this.l.size]);
    return this.isFeedforward ? next(x.mul(l)) : next(x).mul(l);
  }

  merged(weight: Tensor, bias: Tensor | null): Merged {
    const scaled = weight.mul(this.l);
    if (this.isFeedforward || bias === null) return { weight: scaled, bias };
    return { weight: scaled, bias: bias.mul(this.l.reshape([this.l.size])) };
  }
}

/** The method. */
export const ia3: AdapterMethod<Ia3Config, (path: string) => boolean> = {
  name: "IA3",
  peftType: "IA3",
  options,
  keys: ["ia3_l"],
  foreignKeys: ONLY_MODULES_TO_SAVE,
  sites: ["linear", "head"],
  defaultTargets: {
    gpt2: ["c_attn", "mlp.c_proj"],
    llama: ["k_proj", "v_proj", "down_proj"],
    mistral: ["k_proj", "v_proj", "down_proj"],
    qwen2: ["q_proj", "v_proj", "down_proj"],
  },

  check({ targetModules: targets, feedforwardModules: inputs }) {
    if (!Array.isArray(targets) || !Array.isArray(inputs)) return;
    const other = inputs.find((name) => !targets.includes(name));
    if (other === undefined) return;
    throw new UsageError(
      `${optionName("feedforwardModules")} names ${JSON.stringify(other)}, which is not among ${optionName("targetModules")}. Name it in both.`,
    );
  },

  forModel(config, modelType) {
    const feedforwardModules = config.feedforwardModules ?? FEEDFORWARD[modelType] ?? null;
    if (feedforwardModules !== null) return { ...config, feedforwardModules };
    throw new UsageError(
      `There are no default ${optionName("feedforwardModules")} for a model of the type ${JSON.stringify(modelType)}; give a list of ` +
        "module names, which may be empty.",
    );
  },

  shared: (_, { feedforwardModules }) => selection(feedforwardModules ?? [], "feedforwardModules"),

  make({ path, module }, { initIa3Weights }, tensor, scalesInput) {
    const { inFeatures, outFeatures } = module as LinearLike;
    const isFeedforward = scalesInput(path);
    const shape = isFeedforward ? [1, inFeatures] : [outFeatures, 1];
    const init = initIa3Weights
      ? ({ kind: "constant", value: 1 } as const)
      : ({ kind: "normal", std: 1 } as const);
    return new Ia3Layer(tensor("ia3_l", shape, init), isFeedforward);
  },

  describe(config, shapes) {
    const inputs = [...shapes].filter(([, tensors]) => tensors.get("ia3_l")?.[0] === 1);
    return {
      method: "IA3",
      label: "Vectors",
      details: `${shapes.size - inputs.length} on outputs, ${inputs.length} on inputs`,
      data: { feedforwardModules: config.feedforwardModules },
      modules: new Map(
        [...shapes].map(([path, tensors]) => [
          path,
          { feedforward: tensors.get("ia3_l")?.[0] === 1 },
        ]),
      ),
    };
  },
};
