// The common GPT model of the golden runs: what several systems trained from the same start values.
//   h = tok[x] + pos[0..T-1]
//   each layer: h += o(attention(q(n), k(n), v(n))), n = LN1(h);   h += fc2(geluTanh(fc1(LN2(h))))
//   logits = head(LNf(h));   loss = mean cross-entropy over all B*T positions
// Layer norms with gain and bias, eps 1e-5; linear layers without bias, weights [in, out]; scores / sqrt(d / heads),
// causal; hidden size 4d; learned positions; head not tied; no dropout. All float32.
// LoRA: r 8, alpha 16, on q, k, v, o, fc1, fc2 of every layer; all else frozen. AdamW: see `commonAdamW`, decay on
// every trained tensor, one fixed batch, no clipping, constant rate. Losses are those before each update.

import type { TensorPlan } from "../fixtures/fixture.ts";
import { Generator } from "./generator.ts";

export interface CommonSize {
  readonly name: "S" | "M" | "L";
  readonly d: number;
  readonly layers: number;
  readonly heads: number;
  /** Sequence length T and number of rows B. */
  readonly length: number;
  readonly batch: number;
  readonly vocab: number;
  /** Numbers in the base model and in its adapter. */
  readonly parameters: number;
  readonly loraParameters: number;
  readonly losses: { readonly full: readonly number[]; readonly lora: readonly number[] };
  /** The first tokens of greedy decoding by the untrained base after the first 8 inputs of row 0. */
  readonly greedy?: readonly number[];
}

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface CommonStart {
  /** `tok`, `pos`, `0.ln1.gain`, `0.ln1.bias`, `0.q` [in, out], ..., `lnf.gain`, `lnf.bias`, `head`. */
  readonly weights: readonly NamedTensor[];
  /** `0.q.A` [in, r], `0.q.B` [r, out] (zeros), `0.k.A`, ... */
  readonly lora: readonly NamedTensor[];
  /** Inputs and targets, each [B, T]. Targets are random too, not shifted inputs. */
  readonly x: Int32Array;
  readonly y: Int32Array;
}

export const commonRank = 8;
export const commonAlpha = 16;
export const commonTargets: readonly string[] = ["q", "k", "v", "o", "fc1", "fc2"];
export const commonAdamW: {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
} = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 };

/** PyTorch 1.13, float32. test/fixtures/golden.json has PyTorch 2's, in float64 as well. */
export const commonSizes: Readonly<Record<"S" | "M" | "L", CommonSize>> = {
  S: {
    name: "S",
    d: 64,
    layers: 2,
    heads: 4,
    length: 64,
    batch: 8,
    vocab: 256,
    parameters: 135_808,
    loraParameters: 18_432,
    losses: {
      full: [5.546425, 5.388956, 5.260619, 5.157594, 5.071147],
      lora: [5.546425, 5.528081, 5.509975, 5.492435, 5.475791],
    },
  },
  M: {
    name: "M",
    d: 128,
    layers: 4,
    heads: 4,
    length: 128,
    batch: 8,
    vocab: 512,
    parameters: 936_192,
    loraParameters: 73_728,
    losses: {
      full: [6.274663, 6.011139, 5.80594, 5.624896, 5.497561],
      lora: [6.274663, 6.234244, 6.196033, 6.162266, 6.13237],
    },
    greedy: [411, 307, 308, 344, 346, 252, 33, 307],
  },
  L: {
    name: "L",
    d: 384,
    layers: 6,
    heads: 6,
    length: 256,
    batch: 4,
    vocab: 4096,
    parameters: 13_870_848,
    loraParameters: 331_776,
    losses: {
      full: [8.388316, 7.860298, 7.991346, 7.41164, 7.095362],
      lora: [8.388316, 8.287138, 8.181854, 8.092194, 8.015197],
    },
    greedy: [851, 2860, 851, 2354, 3372, 2450, 1930, 109],
  },
};

/** What a run starts from beside the base model's weights. */
export type CommonRest = Omit<CommonStart, "weights">;

/** Everything a run starts from, drawn in the one order that everybody uses, from seed 12345. */
export function commonStart(size: CommonSize): CommonStart {
  const weights: NamedTensor[] = [];
  const rest = drawStart(size, (plan, generator) => {
    weights.push({ ...plan, data: generator.tensor(plan) });
  });
  return { weights, ...rest };
}

/** The same, without holding the base model: each of its tensors is given to `take`, and its numbers are gone after that. */
export function commonStream(size: CommonSize, take: (weight: NamedTensor) => void): CommonRest {
  const room = new Float32Array(size.vocab * size.d);
  return drawStart(size, (plan, generator) => {
    const data = generator.tensor(plan, room);
    take({ ...plan, data });
  });
}

function drawStart(
  size: CommonSize,
  drawWeight: (plan: TensorPlan, generator: Generator) => void,
): CommonRest {
  const generator = new Generator(12345);
  for (const plan of weightPlans(size)) drawWeight(plan, generator);
  const lora = loraPlans(size).map((plan) => ({ ...plan, data: generator.tensor(plan) }));
  const count = size.batch * size.length;
  const x = generator.integers(count, size.vocab);
  const y = generator.integers(count, size.vocab);
  return { lora, x, y };
}

function weightPlans({ d, layers, vocab, length }: CommonSize): TensorPlan[] {
  const normal = (name: string, ...shape: number[]): TensorPlan => ({ name, shape, scale: 0.02 });
  const norm = (name: string): TensorPlan[] => [
    { name: `${name}.gain`, shape: [d], scale: 0, offset: 1 },
    { name: `${name}.bias`, shape: [d], scale: 0 },
  ];
  const plans = [normal("tok", vocab, d), normal("pos", length, d)];
  for (let layer = 0; layer < layers; layer++) {
    plans.push(...norm(`${layer}.ln1`));
    for (const name of ["q", "k", "v", "o"]) plans.push(normal(`${layer}.${name}`, d, d));
    plans.push(...norm(`${layer}.ln2`));
    plans.push(normal(`${layer}.fc1`, d, 4 * d), normal(`${layer}.fc2`, 4 * d, d));
  }
  return [...plans, ...norm("lnf"), normal("head", d, vocab)];
}

function loraPlans({ d, layers }: CommonSize): TensorPlan[] {
  const plans: TensorPlan[] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const target of commonTargets) {
      const rows = target === "fc2" ? 4 * d : d;
      const columns = target === "fc1" ? 4 * d : d;
      const name = `${layer}.${target}`;
      plans.push({ name: `${name}.A`, shape: [rows, commonRank], scale: 1 / Math.sqrt(rows) });
      plans.push({ name: `${name}.B`, shape: [commonRank, columns], scale: 0 });
    }
  }
  return plans;
}
