// The adapter methods that every property is tested with, one row each: what its tests need to know of a method, and
// which properties it cannot have.

import { Ia3Layer, ia3 } from "../../src/adapters/ia3.ts";
import { LoraLayer, lora } from "../../src/adapters/lora.ts";
import type { AnyMethod } from "../../src/adapters/method.ts";
import { VeraLayer, vera } from "../../src/adapters/vera.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import { ia3Merge } from "../../src/reference/ia3.ts";
import { loraMerge } from "../../src/reference/lora.ts";
import { veraMerge } from "../../src/reference/vera.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { ReferenceMerge } from "../support/referenceModel.ts";
import { bitfit } from "./methods/bitfit.ts";
import { bottleneck } from "./methods/bottleneck.ts";
import { prefix } from "./methods/prefix.ts";
import { prompt } from "./methods/prompt.ts";

/** The properties that a method may lack. */
export type Lacking = "fresh" | "merge" | "chunked head" | "reference";

/** A method and how to test it. */
export interface MethodRow {
  readonly method: AnyMethod;
  readonly options: object;
  /** Range of the numbers that stand for a trained adapter's. */
  readonly trained: readonly [low: number, high: number];
  /** The method's page in src/reference. */
  readonly reference?: ReferenceMerge;
  /** Styles of models that have nothing for it, and why. */
  readonly notOn?: readonly [style: string, why: RegExp];
  /** What the method cannot do, and why. */
  readonly lacks: Partial<Record<Lacking, string>>;
}

const of = (tensor: Tensor): Arr => array(tensor.shape, tensor.toArray());
const everywhere = { targetModules: ".*(_proj|c_attn|c_proj|c_fc|lm_head)" };
const noMerge = "what it computes is not what another weight computes";
const ownTest = "its page would be a test of the test";

/** All methods, and four of the tests that need every part of the interface. */
export const rows: readonly MethodRow[] = [
  {
    method: lora,
    options: { ...everywhere, r: 3, loraAlpha: 5 },
    trained: [-0.3, 0.3],
    reference(layer, W, b) {
      if (!(layer instanceof LoraLayer)) throw new Error("no LoRA");
      const s = Math.fround(layer.scale);
      return { W: loraMerge({ W, A: of(layer.a), B: of(layer.b), s }), b };
    },
    lacks: {},
  },
  {
    method: ia3,
    options: { ...everywhere, feedforwardModules: ["down_proj", "mlp.c_proj"] },
    trained: [0.6, 1.4],
    reference(layer, W, b) {
      if (!(layer instanceof Ia3Layer)) throw new Error("no IA3");
      const l = array([layer.l.size], layer.l.toArray());
      return ia3Merge({ W, b, l, isFeedforward: layer.isFeedforward });
    },
    lacks: {},
  },
  {
    method: vera,
    options: { ...everywhere, r: 4 },
    trained: [-0.5, 0.5],
    reference(layer, W, b, adapter) {
      if (!(layer instanceof VeraLayer)) throw new Error("no VeRA");
      const shared = adapter.tensorsOf(null);
      const [A, B] = [of(shared.get("vera_A")!), of(shared.get("vera_B")!)];
      return { W: veraMerge({ W, A, B, d: of(layer.d), b: of(layer.b) }), b };
    },
    lacks: {},
  },
  {
    method: bottleneck as AnyMethod,
    options: { size: 5 },
    trained: [-0.3, 0.3],
    lacks: { merge: noMerge, reference: ownTest },
  },
  {
    method: prefix as AnyMethod,
    options: { tokens: 3 },
    trained: [-0.5, 0.5],
    lacks: {
      fresh: "a key that is there takes its share of the attention, whatever it holds",
      merge: noMerge,
      reference: ownTest,
    },
  },
  {
    method: prompt as AnyMethod,
    options: { tokens: 3 },
    trained: [-0.5, 0.5],
    lacks: {
      fresh: "a token that is there takes its share of the attention, whatever it holds",
      merge: noMerge,
      reference: ownTest,
    },
  },
  {
    method: bitfit as AnyMethod,
    options: {},
    trained: [-0.3, 0.3],
    notOn: ["Llama", /nothing .* trains/],
    lacks: { reference: ownTest },
  },
];
