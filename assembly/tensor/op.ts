// The codes of records that are no ops. Those of ops stand in the list of ops (tape/dispatch.ts), between Detach and
// Recompute. scripts/build.mjs writes both lists down for the front end.

export const enum Op {
  /** Made by the user: no sources. */
  Leaf = 0,
  // views: they share the data, and but for Detach the gradient, of their source
  Reshape = 1,
  Detach = 2,
  /** The end of a segment that backward runs again (tape/recompute.ts). */
  Recompute = 63,
  // actions: what a captured step does besides, without values and gradients (tape/actions.ts)
  Backward = 64,
  DropGradient = 65,
  ExpectInside = 66,
  CopyDense = 67,
  // actions on an optimizer's list of parameters
  ClipGradients = 68,
  AdamW = 69,
  Sgd = 70,
}
