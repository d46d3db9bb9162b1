// What the WASM module exports: the typed face of assembly/index.ts. Addresses and counts are numbers.

export interface Exports {
  setup(): void;
  /** Which tiles the products use, all with the same bits: what `tileForm` says. */
  setTileForm(form: number): void;
  // tensors and the tape
  begin(persistent: number): number;
  commit(record: number): number;
  dispose(record: number): void;
  dropGradient(record: number): void;
  /** 1; 0 when out of memory, -1 for a tensor of an outer scope. */
  retainGradient(record: number): number;
  openScope(): number;
  closeScope(): void;
  lastRecord(): number;
  backward(record: number): number;
  // segments that backward runs again
  /** 0 when out of memory. */
  openSegment(): number;
  /** 0 when out of memory. */
  keepResult(record: number): number;
  closeSegment(): void;
  // programs
  /** Address of a program, or 0 when out of memory. */
  beginProgram(): number;
  /** 0 when memory ran out for one of its records. */
  endProgram(program: number, complete: number): number;
  /** Hides what was recorded behind a record: it cannot be reached any more. */
  markUnreachable(before: number): void;
  markReachable(record: number): void;
  /** Runs what the step that is being captured has recorded. */
  flush(): void;
  releaseProgram(program: number): void;
  /** 0: out of memory, 1: done, 2: stopped at an index outside of its range. */
  runProgram(program: number): number;
  replay(): number;
  /** 0 when out of memory. */
  rerun(record: number): number;
  setGradMode(on: number): number;
  seedDropout(low: number, high: number, step: number): void;
  nextDropout(): number;
  /** The record that keeps the rows, to be disposed of, or the record itself, packed in place; 0 when out of memory. */
  pack(record: number): number;
  prepack(record: number, both: number): number;
  readsPanels(op: number, source: number): number;
  fillPanels(record: number, rows: number): void;
  unpack(record: number): void;
  /** Moves `count` rows of 16-bit numbers, from row `first` on, to or from the panels of a weight that is stored so. */
  moveStored(record: number, rows: number, first: number, count: number, toRows: number): void;
  /** Makes a weight that is stored in 16 bits one of float32 in rows; 0 when out of memory. */
  widen(record: number): number;
  copyDense(target: number, packed: number): void;
  // memory
  allocate(bytes: number): number;
  release(address: number): void;
  failedBytes(): number;
  // random numbers
  fillUniform(
    address: number,
    count: number,
    seedLow: number,
    seedHigh: number,
    stream: number,
    offset: number,
    low: number,
    high: number,
  ): void;
  fillNormal(
    address: number,
    count: number,
    seedLow: number,
    seedHigh: number,
    stream: number,
    offset: number,
    mean: number,
    std: number,
  ): void;
  // optimizers
  adamw(list: number): void;
  sgd(list: number): void;
  clipGradients(list: number, maxNorm: number): number;
  allocateMoment(elements: number): number;
  releaseMoment(address: number, elements: number): void;
  // double precision
  f64Exp(x: number): number;
  f64Cos(x: number): number;
  f64Pow(x: number, y: number): number;
  // index checks and tables
  firstOutside(record: number, limit: number, excepts: number, except: number): number;
  fillRopeTable(address: number, positions: number, half: number, theta: number): void;
  // threads
  gatherThreads(): number;
  setThreads(count: number, mayWait: number): void;
  serve(thread: number): void;
  abandon(thread: number): void;
  threadReady(thread: number): number;
  workDone(thread: number): number;
  shutdown(): void;
}
