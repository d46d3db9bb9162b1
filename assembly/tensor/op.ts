// The op codes. The front end has the same list (src/core/op.ts); a test compares the two.

export const enum Op {
  /** Made by the user: no sources. */
  Leaf = 0,
  // views: they share the data, and but for Detach the gradient, of their source
  Reshape = 1,
  Detach = 2,
  // shape
  Transpose = 3,
  Slice = 4,
  Concat = 5,
  Gather = 6,
  // elementwise, broadcasting
  Add = 8,
  Sub = 9,
  Mul = 10,
  Div = 11,
  // elementwise, unary
  Neg = 12,
  Exp = 13,
  Log = 14,
  Sqrt = 15,
  Tanh = 16,
  Sigmoid = 17,
  Relu = 18,
  GeluTanh = 19,
  Gelu = 20,
  Silu = 21,
  // reductions
  Sum = 24,
  Mean = 25,
  Max = 26,
  // rows
  Softmax = 28,
  LogSoftmax = 29,
  CrossEntropy = 30,
  LayerNorm = 31,
  RmsNorm = 32,
  // model
  Embedding = 36,
  Rope = 37,
  Attention = 38,
  Dropout = 39,
  WriteCache = 40,
  // products
  Matmul = 44,
  Linear = 45,
  LinearCrossEntropy = 46,
  /** The end of a segment that backward runs again (recompute.ts). */
  Recompute = 63,
  // what a captured program does besides: no values, no gradients (capture.ts)
  Backward = 64,
  DropGradient = 65,
  ExpectInside = 66,
  CopyDense = 67,
  // on an optimizer's list of parameters
  ClipGradients = 68,
  AdamW = 69,
  Sgd = 70,
}
