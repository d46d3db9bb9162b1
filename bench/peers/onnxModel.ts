// The common model as an ONNX graph for decoding: new tokens go in with the keys and values of those before, and
// logits come out with the longer keys and values.
//   in   ids [1, N]   positions [N]   bias [N, S]: 0 or -1e9   keys.i, values.i [1, H, P, d/H]
//   out  logits [1, N, V]   newKeys.i, newValues.i [1, H, S, d/H], S = P + N

import type { CommonSize, CommonStart } from "../../test/golden/common-model.ts";
import { OnnxGraph } from "./onnxGraph.ts";

export function decodingModel(
  { d, heads, layers, vocab }: CommonSize,
  { weights }: CommonStart,
): Uint8Array {
  const graph = new OnnxGraph();
  for (const { name, shape, data } of weights) graph.floats(name, shape, data);
  const width = d / heads;
  const product = (a: string, b: string): string => graph.node("MatMul", [a, b]);
  const add = (a: string, b: string): string => graph.node("Add", [a, b]);
  const norm = (x: string, name: string): string =>
    graph.node("LayerNormalization", [x, `${name}.gain`, `${name}.bias`], {
      axis: -1,
      epsilon: { float: 1e-5 },
    });
  const toHeads = graph.integers([0, -1, heads, width]);
  const toRows = graph.integers([0, -1, d]);
  const swap = { perm: [0, 2, 1, 3] };
  const splitHeads = (x: string): string =>
    graph.node("Transpose", [graph.node("Reshape", [x, toHeads])], swap);

  const ids = graph.input("ids", "int64", [1, "N"]);
  const positions = graph.input("positions", "int64", ["N"]);
  const bias = graph.input("bias", "float", ["N", "S"]);
  const scale = graph.number(1 / Math.sqrt(width));
  let h = add(graph.node("Gather", ["tok", ids]), graph.node("Gather", ["pos", positions]));
  for (let i = 0; i < layers; i++) {
    /** What came before and the new rows: an output, too. */
    const longer = (what: string, rows: string): string => {
      const before = graph.input(`${what}.${i}`, "float", [1, heads, "P", width]);
      const name = `new.${what}.${i}`;
      graph.node("Concat", [before, splitHeads(rows)], { axis: 2 }, name);
      graph.output(name, [1, heads, "S", width]);
      return name;
    };
    const n = norm(h, `${i}.ln1`);
    const q = splitHeads(product(n, `${i}.q`));
    const keys = longer("keys", product(n, `${i}.k`));
    const values = longer("values", product(n, `${i}.v`));
    const turned = graph.node("Transpose", [keys], { perm: [0, 1, 3, 2] });
    const scores = add(graph.node("Mul", [product(q, turned), scale]), bias);
    const mixed = product(graph.node("Softmax", [scores], { axis: -1 }), values);
    const joined = graph.node("Reshape", [graph.node("Transpose", [mixed], swap), toRows]);
    h = add(h, product(joined, `${i}.o`));
    const inner = product(norm(h, `${i}.ln2`), `${i}.fc1`);
    const active = graph.node("Gelu", [inner], { approximate: "tanh" });
    h = add(h, product(active, `${i}.fc2`));
  }
  graph.node("MatMul", [norm(h, "lnf"), "head"], {}, "logits");
  graph.output("logits", [1, "N", vocab]);
  return graph.model();
}
