// What is aimed at, by the id of the figure. The gate is a figure's best; see bench/figure.ts.
// Targets hold for Node 24 and the relaxed build, unless an id says otherwise, on a machine with two cores.

/** A bound that a figure's best should keep. */
export interface Target {
  readonly bound: "at least" | "at most";
  readonly value: number;
  /** What must run beside lowrank to measure it. */
  readonly beside: "nothing" | "peers" | "older checkout";
}

const least = (value: number): Target => ({ bound: "at least", value, beside: "nothing" });
const most = (value: number): Target => ({ bound: "at most", value, beside: "nothing" });
const besidePeers = (target: Target): Target => ({ ...target, beside: "peers" });
const besideOlder = (target: Target): Target => ({ ...target, beside: "older checkout" });

/** All targets, in the order in which the figures are shown. */
export const targets: Readonly<Record<string, Target>> = {
  // Matrix products, shares of the roof.
  "gemm-baseline-64": least(0.85),
  "gemm-baseline-128": least(0.92),
  "gemm-baseline-256": least(0.94),
  "gemm-baseline-512": least(0.9),
  "gemm-baseline-1024": least(0.88),
  "gemm-baseline-prepacked": least(0.9),
  "gemm-relaxed-64": least(0.6),
  "gemm-relaxed-128": least(0.72),
  "gemm-relaxed-256": least(0.84),
  "gemm-relaxed-512": least(0.78),
  "gemm-relaxed-1024": least(0.76),
  "gemm-relaxed-prepacked": least(0.78),
  // Time over that of the plain layout, the worst of four shapes.
  "layout-baseline-nt": most(1.05),
  "layout-baseline-tn": most(1.05),
  "layout-relaxed-nt": most(1.05),
  "layout-relaxed-tn": most(1.05),
  "rank8-baseline-128x8x768": least(0.7),
  "rank8-baseline-768x8x128": least(0.7),
  "rank8-relaxed-128x8x768": least(0.7),
  "rank8-relaxed-768x8x128": least(0.7),
  // Extra time of the low-rank branch over the plain linear layer.
  "branch-baseline": most(0.04),
  "branch-relaxed": most(0.03),
  "threads-gemm-256": least(1.85),
  "threads-gemm-512": least(1.85),
  "threads-gemm-1024": least(1.85),
  "threads-step-M": least(1.7),
  "threads-step-L": least(1.7),
  // LoRA step over full step.
  "lora-time-S": most(0.88),
  "lora-time-M": most(0.82),
  "lora-time-L": most(0.77),
  "lora-memory-M": most(0.8),
  "lora-memory-L": most(0.6),
  "rss-L": most(300),
  "decode-roof-L": least(0.8),
  "decode-sixteen-M": least(4),
  "decode-sixteen-L": least(4),
  "exp-baseline": least(0.8),
  "exp-relaxed": least(1.3),
  "op-eager": most(1.5),
  "op-replayed": most(0.3),
  start: most(25),
  // The time now over that of an older checkout: 3 % is what the noise of a quiet machine makes of equal ones.
  "against-step-S": besideOlder(most(1.03)),
  "against-step-M": besideOlder(most(1.03)),
  "against-step-L": besideOlder(most(1.03)),
  "against-step-M-baseline": besideOlder(most(1.03)),
  "against-step-M-2": besideOlder(most(1.03)),
  "against-full-M": besideOlder(most(1.03)),
  "against-decode-M": besideOlder(most(1.03)),
  "against-op-eager": besideOlder(most(1.03)),
  "against-op-replayed": besideOlder(most(1.03)),
  // Milliseconds more.
  "against-start": besideOlder(most(3)),
  // lowrank's time over a peer's.
  "peer-lora-S-1": besidePeers(most(0.5)),
  "peer-lora-M-1": besidePeers(most(0.85)),
  "peer-lora-L-1": besidePeers(most(1.5)),
  "peer-lora-S-2": besidePeers(most(0.5)),
  "peer-lora-M-2": besidePeers(most(0.85)),
  "peer-lora-L-2": besidePeers(most(1.5)),
  "peer-full-S": besidePeers(most(0.33)),
  "peer-full-M": besidePeers(most(0.33)),
  "peer-full-L": besidePeers(most(0.33)),
  "peer-decode-M": besidePeers(least(2)),
  // The runtime's speed over Node's.
  "runtime-deno": besidePeers(least(0.8)),
  "runtime-bun": besidePeers(least(0.8)),
};

/** Whether a figure's best keeps the target of its id; null where there is none. */
export function isMet(id: string, best: number): boolean | null {
  const target = targets[id];
  if (target === undefined) return null;
  return target.bound === "at least" ? best >= target.value : best <= target.value;
}
