// The engine's codes, in the spelling of assembly/tensor/op.ts, tensor/tensor.ts and memory/state.ts; a test compares them.

export const Op = {
  Leaf: 0,
  Reshape: 1,
  Detach: 2,
  Transpose: 3,
  Slice: 4,
  Concat: 5,
  Gather: 6,
  Add: 8,
  Sub: 9,
  Mul: 10,
  Div: 11,
  Neg: 12,
  Exp: 13,
  Log: 14,
  Sqrt: 15,
  Tanh: 16,
  Sigmoid: 17,
  Relu: 18,
  GeluTanh: 19,
  Gelu: 20,
  Silu: 21,
  Sum: 24,
  Mean: 25,
  Max: 26,
  Softmax: 28,
  LogSoftmax: 29,
  CrossEntropy: 30,
  LayerNorm: 31,
  RmsNorm: 32,
  Embedding: 36,
  Rope: 37,
  Attention: 38,
  Dropout: 39,
  WriteCache: 40,
  Matmul: 44,
  Linear: 45,
  LinearCrossEntropy: 46,
  Recompute: 63,
  Backward: 64,
  DropGradient: 65,
  ExpectInside: 66,
  CopyDense: 67,
  ClipGradients: 68,
  AdamW: 69,
  Sgd: 70,
} as const;

export type OpCode = (typeof Op)[keyof typeof Op];

/** Byte offsets of a tensor record's fields. */
export const Field = {
  op: 0,
  dtype: 4,
  rank: 8,
  flags: 12,
  dims: 16,
  size: 40,
  data: 44,
  grad: 48,
  previous: 52,
  next: 56,
  root: 60,
  sourceCount: 64,
  sources: 68,
  ints: 92,
  floats: 132,
  saved: 148,
  retainedGrad: 152,
  packedT: 156,
  plannedGrad: 160,
} as const;

export const Flag = {
  RequiresGrad: 1,
  Persistent: 2,
  Packed: 4,
  Unwritten: 8,
  Captured: 16,
  OwnsGrad: 32,
  HasGrad: 64,
  CheckpointResult: 128,
  Rerun: 256,
  Unreachable: 512,
  Dropped: 1024,
  Reused: 2048,
  Planned: 4096,
  Consumed: 8192,
  Replaced: 16384,
  LeavesSlope: 32768,
} as const;

/** Indices of the counters at the head of the engine's state. */
export const Counter = {
  persistentBytes: 0,
  arenaBytes: 1,
  arenaPeak: 2,
  scratchBytes: 3,
  records: 4,
  productForward: 5,
  productInputGradient: 6,
  productWeightGradient: 7,
  productLowRank: 8,
  leafGradientBytes: 9,
  intermediateGradients: 10,
  parallelJobs: 11,
  optimizerBytes: 12,
  unsharedNanoseconds: 13,
} as const;

export type CounterName = keyof typeof Counter;

export const MAX_RANK = 6;
/** Address of the engine's state, and in it of the first byte that belongs to no block. */
export const STATE = 64;
export const HEAP_TOP: number = STATE + 136;
