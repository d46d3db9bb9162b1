// VeRA on linear layers (Kopiczko et al. 2023, arXiv:2310.11454, eq. 2): all layers share two frozen random matrices, and
// each trains two vectors.
//   y = x·Wᵀ + b + λb ∘ ((λd ∘ (drop(x)·A[:, :K]ᵀ))·B[:N, :]ᵀ)     A [r, max K], B [max N, r], λd [r], λb [N]
// That is a low-rank term of the factors diag(λd)·A[:, :K] and diag(λb)·B[:N, :].

import type { LinearLike } from "../nn/linear.ts";
import type { LowRankBranch } from "../tensor/linear.ts";
import { matmul } from "../tensor/matmul.ts";
import { slice } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer, Merged } from "./layer.ts";
import { type AdapterMethod, type Init, ONLY_MODULES_TO_SAVE } from "./method.ts";
import { boolean, finite, type OptionTable, probability, whole, wrong } from "./option.ts";
import { checkTargets, fanInFanOutRow, type TargetConfig, targetRows } from "./targeting.ts";

/** Complete and checked options. */
export interface VeraConfig extends Omit<TargetConfig, "excludeModules"> {
  readonly r: number;
  readonly dInitial: number;
  readonly veraDropout: number;
  readonly projectionPrngKey: number;
  readonly saveProjection: boolean;
  readonly initWeights: boolean;
  readonly fanInFanOut: boolean;
  readonly bias: "none";
}

const options: OptionTable<VeraConfig> = {
  r: {
    key: "r",
    fallback: 256,
    help: "rank of the shared matrices",
    check: whole(1, 65_536),
    flag: { name: "r", kind: "number" },
  },
  dInitial: {
    key: "d_initial",
    fallback: 0.1,
    help: "what the vector on the bottleneck begins with",
    check: finite,
    flag: { name: "d-initial", kind: "number" },
    float: true,
  },
  veraDropout: {
    key: "vera_dropout",
    fallback: 0,
    help: "dropout on the adapter's input while training",
    check: probability,
    flag: { name: "dropout", kind: "number" },
    trains: true,
    float: true,
  },
  projectionPrngKey: {
    key: "projection_prng_key",
    fallback: 0,
    help: "PEFT's seed of the shared matrices",
    check: whole(0, Number.MAX_SAFE_INTEGER),
  },
  saveProjection: {
    key: "save_projection",
    fallback: true,
    help: "files hold the shared matrices",
    check: (value, option) =>
      boolean(value, option) ||
      wrong(option, value, "true: the generator that would make the matrices again is not built"),
  },
  targetModules: targetRows.targetModules,
  layersToTransform: targetRows.layersToTransform,
  layersPattern: targetRows.layersPattern,
  initWeights: {
    key: "init_weights",
    fallback: true,
    help: "initial values: true for those of the paper",
    check: boolean,
  },
  fanInFanOut: fanInFanOutRow,
  bias: {
    key: "bias",
    fallback: "none",
    help: "biases to train as well",
    check: (value, option) =>
      value === "none" ? value : wrong(option, value, '"none"; training biases is not supported'),
  },
};

/** A [r, max K] and B [max N, r], the same for all layers. */
interface Projections {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** VeRA's two vectors on one linear layer of N outputs and K inputs. */
export class VeraLayer implements AdapterLayer {
  /** λd [r] and λb [N]. */
  readonly d: Tensor;
  readonly b: Tensor;
  readonly dropout: number;
  readonly #projections: Projections;
  readonly #inFeatures: number;

  constructor(d: Tensor, b: Tensor, projections: Projections, inFeatures: number, dropout: number) {
    this.d = d;
    this.b = b;
    this.dropout = dropout;
    this.#projections = projections;
    this.#inFeatures = inFeatures;
  }

  branch(training: boolean): LowRankBranch {
    const { a, b } = this.#projections;
    return {
      a: slice(a, 1, 0, this.#inFeatures).mul(this.d.reshape([this.d.size, 1])),
      b: slice(b, 0, 0, this.b.size).mul(this.b.reshape([this.b.size, 1])),
      scale: 1,
      dropout: training ? this.dropout : 0,
    };
  }

  merged(weight: Tensor, bias: Tensor | null): Merged {
    const { a, b } = this.branch(false);
    return { weight: weight.add(matmul(b, a)), bias };
  }
}

/** PyTorch's kaiming_uniform_ for a matrix whose rows have `width` numbers. */
const kaiming = (width: number): Init => ({ kind: "uniform", bound: Math.sqrt(6 / width) });

/** The method. */
export const vera: AdapterMethod<VeraConfig, Projections> = {
  name: "VeRA",
  peftType: "VERA",
  options,
  keys: ["vera_lambda_b", "vera_lambda_d"],
  foreignKeys: ONLY_MODULES_TO_SAVE,
  check: checkTargets,
  sites: ["linear", "head"],
  defaultTargets: {
    gpt2: ["c_attn"],
    llama: ["q_proj", "v_proj"],
    mistral: ["q_proj", "v_proj"],
    qwen2: ["q_proj", "v_proj"],
  },

  shared(sites, { r }, tensor) {
    const layers = sites.map(({ module }) => module as LinearLike);
    const widest = (size: (layer: LinearLike) => number): number =>
      layers.reduce((most, layer) => Math.max(most, size(layer)), 0);
    const inFeatures = widest((layer) => layer.inFeatures);
    const outFeatures = widest((layer) => layer.outFeatures);
    const frozen = { trains: false };
    return {
      a: tensor("vera_A", [r, inFeatures], kaiming(inFeatures), frozen),
      b: tensor("vera_B", [outFeatures, r], kaiming(r), frozen),
    };
  },

  make({ module }, { r, dInitial, initWeights, veraDropout }, tensor, projections) {
    const { inFeatures, outFeatures } = module as LinearLike;
    const constant = (value: number): Init => ({ kind: "constant", value });
    const b = tensor("vera_lambda_b", [outFeatures], constant(initWeights ? 0 : 1));
    const dInit: Init = initWeights ? constant(dInitial) : { kind: "normal", std: 1 };
    const d = tensor("vera_lambda_d", [r], dInit);
    return new VeraLayer(d, b, projections, inFeatures, veraDropout);
  },

  describe({ r, veraDropout: dropout, dInitial }, shapes) {
    return {
      method: "VeRA",
      label: "Rank",
      details: `r ${r} shared by all layers${dropout === 0 ? "" : `, dropout ${dropout}`}`,
      data: { r, dropout, dInitial },
      modules: new Map([...shapes.keys()].map((path) => [path, { r }])),
    };
  },
};
