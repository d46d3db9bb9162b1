// Writes an ONNX model: a graph of nodes that read and make named tensors. Field numbers are those of onnx.proto
// (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), whose messages are named here where they are made.

import { Message } from "./protobuf.ts";

const FLOAT = 1;
const INT64 = 7;
const IR_VERSION = 9;
const OPERATORS = 20;

/** An attribute's value: whole numbers, one or several, text, or a float that is marked as one. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** A size, or the name of one that is known at run time. */
export type Size = number | string;

function attribute(name: string, value: Attribute): Message {
  const made = new Message().text(1, name);
  if (typeof value === "number") return made.int(3, value).int(20, 2);
  if (typeof value === "string") return made.text(4, value).int(20, 3);
  if ("float" in value) return made.float(2, value.float).int(20, 1);
  for (const part of value) made.int(8, part);
  return made.int(20, 7);
}

/** ValueInfoProto { name, TypeProto { Tensor { element type, TensorShapeProto } } } */
function valueInfo(name: string, type: number, sizes: readonly Size[]): Message {
  const shape = new Message();
  for (const size of sizes) {
    const dimension = new Message();
    shape.message(1, typeof size === "number" ? dimension.int(1, size) : dimension.text(2, size));
  }
  const tensor = new Message().int(1, type).message(2, shape);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}

/** GraphProto under construction. */
export class OnnxGraph {
  readonly #graph = new Message().text(2, "graph");
  #made = 0;

  /** Adds a node and returns the name of its output. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output: string = `made${this.#made++}`,
  ): string {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    node.text(2, output).text(4, operator);
    for (const [name, value] of Object.entries(attributes)) node.message(5, attribute(name, value));
    this.#graph.message(1, node);
    return output;
  }

  #constant(name: string, type: number, sizes: readonly number[], data: ArrayBufferView): string {
    const tensor = new Message();
    for (const size of sizes) tensor.int(1, size);
    const raw = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    this.#graph.message(5, tensor.int(2, type).text(8, name).bytes(9, raw));
    return name;
  }

  floats(name: string, sizes: readonly number[], data: Float32Array): string {
    return this.#constant(name, FLOAT, sizes, data);
  }

  /** A constant vector of whole numbers. */
  integers(values: readonly number[]): string {
    const data = BigInt64Array.from(values, (value) => BigInt(value));
    return this.#constant(`made${this.#made++}`, INT64, [values.length], data);
  }

  /** A constant number. */
  number(value: number): string {
    return this.floats(`made${this.#made++}`, [], new Float32Array([value]));
  }

  input(name: string, type: "float" | "int64", sizes: readonly Size[]): string {
    this.#graph.message(11, valueInfo(name, type === "float" ? FLOAT : INT64, sizes));
    return name;
  }

  output(name: string, sizes: readonly Size[]): void {
    this.#graph.message(12, valueInfo(name, FLOAT, sizes));
  }

  /** ModelProto { ir version, graph, operator set } */
  model(): Uint8Array {
    const operators = new Message().text(1, "").int(2, OPERATORS);
    return new Message().int(1, IR_VERSION).message(7, this.#graph).message(8, operators).encoded();
  }
}
