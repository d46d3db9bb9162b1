// A training state as bytes: what a run depends on, in a safetensors file behind a header that guards it.
//   | "LOWRANK1" | length of the rest, u32 | CRC-32 of the rest, u32 | safetensors |
// Tensors: parameter.<name>, and moment.<i>.<j>, the j-th of the optimizer's i-th parameter. The metadata holds
// the run's step and setup, the steps of each parameter, and the arithmetic of the engine.

import type { Engine } from "../core/engine.ts";
import { FormatError, UsageError } from "../core/error.ts";
import { expectBytes, expectText } from "../core/kind.ts";
import {
  fromFloat32,
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../io/safetensors.ts";
import type { OptimizerState } from "../optim/optimizer.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Arithmetic, arithmeticEntries, arithmeticIn } from "./arithmetic.ts";
import { crc32 } from "./checksum.ts";

const MAGIC = "LOWRANK1";
const HEADER = 16;

export interface TrainingState {
  readonly engine: Engine;
  readonly step: number;
  /** What must be equal for the run to go on, by plural names. */
  readonly setup: Readonly<Record<string, unknown>>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly optimizer: OptimizerState;
}

export interface RestoredState {
  readonly arithmetic: Arithmetic;
  readonly step: number;
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly optimizer: OptimizerState;
}

export function writeState(state: TrainingState): Uint8Array {
  const tensors = new Map(
    [...state.parameters].map(([name, t]): [string, StoredTensor] => [
      `parameter.${name}`,
      fromFloat32(t.toArray() as Float32Array, t.shape),
    ]),
  );
  state.optimizer.parameters.forEach((parameter, i) => {
    parameter?.moments.forEach((values, j) => {
      tensors.set(`moment.${i}.${j}`, fromFloat32(values, [values.length]));
    });
  });
  const metadata = new Map([
    ...Object.entries(state.setup).map(([key, value]): [string, string] => [
      key,
      JSON.stringify(value),
    ]),
    ...arithmeticEntries(state.engine),
    ["step", String(state.step)],
    ["optimizer", state.optimizer.optimizer],
    ["steps", JSON.stringify(state.optimizer.parameters.map((parameter) => parameter?.step ?? 0))],
  ]);
  const body = writeSafetensors(tensors, metadata);
  const file = new Uint8Array(HEADER + body.length);
  file.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(file.buffer);
  view.setUint32(8, body.length, true);
  view.setUint32(12, crc32(body), true);
  file.set(body, HEADER);
  return file;
}

/** The guarded part of a state's bytes; throws FormatError for anything that is not exactly what was written. */
function checkedBody(bytes: Uint8Array, name: string): Uint8Array {
  const damaged = (what: string): never => {
    throw new FormatError(
      `${name} cannot be used: ${what}. Take an earlier checkpoint, or start the run again.`,
    );
  };
  expectText("The name of a training state", name);
  expectBytes(name, bytes);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (bytes.length < HEADER || magic !== MAGIC) damaged("it is not a training state of lowrank");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = bytes.subarray(HEADER);
  const length = view.getUint32(8, true);
  if (body.length !== length)
    damaged(`it has ${body.length} bytes after its header, expected ${length}`);
  if (crc32(body) !== view.getUint32(12, true)) damaged("its checksum does not match its contents");
  return body;
}

/**
 * Reads what `writeState` wrote.
 * @throws FormatError when the bytes are damaged, UsageError when they belong to another run
 */
export function readState(
  bytes: Uint8Array,
  name: string,
  setup: Readonly<Record<string, unknown>>,
  parameters: ReadonlyMap<string, Tensor>,
): RestoredState {
  const { metadata, tensors } = readSafetensors(checkedBody(bytes, name), name);
  const others = Object.entries(setup).flatMap(([key, value]) => {
    const [own, other] = [JSON.stringify(value), metadata.get(key)];
    return own === other ? [] : [`its ${key} are ${other}, but here ${own}`];
  });
  if (others.length > 0) {
    throw new UsageError(
      `${name} belongs to another run: ${others.join("; ")}. Use the same model, options and data.`,
    );
  }
  const restored = new Map<string, Float32Array>();
  const misfits: string[] = [];
  for (const [key, parameter] of parameters) {
    const stored = tensors.get(`parameter.${key}`);
    if (stored === undefined) misfits.push(`${key} is missing`);
    else if (String(stored.shape) !== String(parameter.shape)) {
      misfits.push(`${key} is [${stored.shape}], expected [${parameter.shape}]`);
    } else restored.set(key, toFloat32(stored));
  }
  for (const key of tensors.keys()) {
    if (key.startsWith("parameter.") && !parameters.has(key.slice("parameter.".length))) {
      misfits.push(`${key.slice("parameter.".length)} does not train here`);
    }
  }
  if (misfits.length > 0) {
    throw new UsageError(`${name} does not fit the model: ${misfits.join("; ")}.`);
  }
  const [step = 0] = wholeNumbers(`[${metadata.get("step")}]`, name);
  const steps = wholeNumbers(metadata.get("steps"), name);
  return {
    arithmetic: arithmeticIn(metadata),
    step,
    parameters: restored,
    optimizer: {
      optimizer: metadata.get("optimizer") ?? "",
      parameters: steps.map((step, i) =>
        step === 0 ? null : { step, moments: moments(tensors, i) },
      ),
    },
  };
}

/** A list of numbers of steps, as JSON. */
function wholeNumbers(text: string | undefined, name: string): number[] {
  const refuse = (): never => {
    throw new FormatError(
      `${name} cannot be used: where it counts steps, it says ${text?.slice(0, 100)}. Take an earlier checkpoint, or start the run again.`,
    );
  };
  let list: unknown;
  try {
    list = JSON.parse(text ?? "");
  } catch {
    return refuse();
  }
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
  return Array.isArray(list) && list.every(isCount) ? list : refuse();
}

function moments(tensors: ReadonlyMap<string, StoredTensor>, i: number): Float32Array[] {
  const found: Float32Array[] = [];
  for (let j = 0; ; j++) {
    const stored = tensors.get(`moment.${i}.${j}`);
    if (stored === undefined) return found;
    found.push(toFloat32(stored));
  }
}
