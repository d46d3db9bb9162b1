// The kinds of work that all threads do together (see launch.ts). `record` is what the kind says.

export const enum Job {
  /** Run a record's op. */
  Forward = 0,
  /** Add a record's contributions to its sources' gradients. */
  Backward = 1,
  // Jobs on an optimizer's list (optimizer.ts).
  AdamW = 2,
  Sgd = 3,
  GradientSquares = 4,
  ScaleGradients = 5,
}
