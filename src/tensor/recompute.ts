// Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174), as PyTorch's torch.utils.checkpoint: memory for time.
//
//   let h = x;
//   for (const block of blocks) {
//     const input = h;
//     h = recompute(() => block.forward(input));
//   }
//
// The engine keeps what `fn` recorded, but not what its ops made; backward runs the ops again (assembly/tape/recompute.ts).
// `fn` itself is called once.

import { current, type Lifetime } from "../core/engine.ts";
import { expectFunction } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { expectSynchronous } from "../core/synchronous.ts";
import { apply } from "./apply.ts";
import { composite, hiding, recordsGradients, replaced, scope, tensorsIn } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Runs `fn` and keeps the tensors that it returns (also in arrays and plain objects); what else it made is gone
 * when it returns, and made again, as far as it is needed, by each backward pass that comes here. Gradients have the
 * same bits as without, dropout included, as long as what `fn` reads is not written before backward. A `recompute`
 * within another one is part of it. In a captured step one backward pass may come here.
 * @throws UsageError when `fn` is async or calls backward(); ReleasedError when a tensor that was made by `fn` and not
 *   returned is used later.
 */
export function recompute<T>(fn: () => T): T {
  expectFunction("What recompute() runs", fn);
  const engine = current();
  const call = (): T => expectSynchronous(fn(), "recompute");
  const run = (): T => (recording() === null ? call() : hiding(engine, call));
  if (engine.scopes.length === 0) return composite({ engine }, run);
  if (engine.inSegment) return run();
  // Nothing will run again: an inner scope frees as much.
  if (!recordsGradients(engine)) return scope(run);
  if (engine.wasm.openSegment() === 0) engine.outOfMemory("recompute()");
  const lifetime: Lifetime = {
    alive: true,
    over: "the function given to recompute() had returned. Return it from that function to keep it",
  };
  engine.scopes.push(lifetime);
  engine.inSegment = true;
  const results = new Map<Tensor, Tensor>();
  try {
    const result = run();
    const kept = tensorsIn(result).filter((tensor) => tensor.belongsTo(lifetime));
    for (const tensor of kept) {
      if (engine.wasm.keepResult(tensor.address) === 0)
        engine.outOfMemory("a result of recompute()");
    }
    close();
    // Views, which come behind the segment: a backward pass may start from them.
    for (const tensor of kept) {
      results.set(tensor, apply(Op.Reshape, [tensor], tensor.shape, {}, tensor.dtype));
    }
    return replaced(result, results) as T;
  } finally {
    if (engine.inSegment) close();
    lifetime.alive = false;
  }

  function close(): void {
    engine.wasm.closeSegment();
    engine.inSegment = false;
    engine.leaveScope();
  }
}
