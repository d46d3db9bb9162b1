// Causal scaled dot-product attention (arXiv:1706.03762 eq. 1) with grouped heads (arXiv:2305.13245).
//   q [B, Tq, H, D]   k, v [B, Tk, G, D]   out [B, Tq, H, D]       H is a multiple of G: H/G query heads share one k, v
//   s_j = scale q . k_j      p = softmax(s)      out = sum_j p_j v_j      over the keys j = start .. offset + t
// Query t stands at position offset + t of the keys and sees nothing after itself. `offset` is the number of keys
// that were there before (a KV cache). `starts` keeps documents apart that are packed into one row: a query sees
// no key before the start of its own document.
// Backward, per query:  dv_j += p_j dout    dp_j = dout . v_j    ds_j = p_j (dp_j - sum_i p_i dp_i)
//                       dq = scale sum_j ds_j k_j                dk_j += scale ds_j q

import { type Arr, array, dot, expectShape, row } from "./array.ts";

/** Which keys a query sees, and the factor of the scores. */
export interface AttentionOptions {
  /** The factor before the softmax (default 1 / sqrt(D)). */
  readonly scale?: number;
  /** The position of query 0 among the keys (default Tk - Tq: the queries are the last ones). */
  readonly offset?: number;
  /** starts [B, Tq]: the first key that each query sees (default 0 everywhere). */
  readonly starts?: Arr;
}

function plan(q: Arr, k: Arr, v: Arr, options: AttentionOptions) {
  const [B = 0, Tq = 0, H = 0, D = 0] = q.shape;
  const [, Tk = 0, G = 0] = k.shape;
  const { scale = 1 / Math.sqrt(D), offset = Tk - Tq, starts = array([B, Tq]) } = options;
  expectShape("k", k, [B, Tk, G, D]);
  expectShape("v", v, [B, Tk, G, D]);
  expectShape("starts", starts, [B, Tq]);
  if (H % G !== 0) {
    throw new RangeError(
      `${H} query heads cannot share ${G} key heads evenly; H must be a multiple of G.`,
    );
  }
  if (offset < 0 || offset + Tq > Tk) {
    throw new RangeError(
      `Queries ${offset} to ${offset + Tq - 1} do not stand among ${Tk} keys; choose another offset.`,
    );
  }
  // Every (b, t, h): a row of q and out, the rows of k and v that it sees.
  const queries: { i: number; keys: number[] }[] = [];
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < Tq; t++) {
      const start = starts.data[b * Tq + t]!;
      if (start < 0 || start > offset + t) {
        throw new RangeError(
          `Query ${t} starts at key ${start}, but must see at least itself, key ${offset + t}.`,
        );
      }
      for (let h = 0; h < H; h++) {
        const g = Math.floor(h / (H / G));
        const keys: number[] = [];
        for (let j = start; j <= offset + t; j++) keys.push((b * Tk + j) * G + g);
        queries.push({ i: (b * Tq + t) * H + h, keys });
      }
    }
  }
  return { queries, scale };
}

// p_j = softmax of scale q . k_j over the keys that the query sees.
function probabilities(q: Float64Array, k: Arr, keys: readonly number[], scale: number): number[] {
  const scores = keys.map((j) => scale * dot(q, row(k, j)));
  const largest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

// to += factor * from
function accumulate(to: Float64Array, factor: number, from: Float64Array): void {
  for (let d = 0; d < to.length; d++) to[d]! += factor * from[d]!;
}

/** out [B, Tq, H, D]: every query's mixture of the values that it sees. */
export function attention(q: Arr, k: Arr, v: Arr, options: AttentionOptions = {}): Arr {
  const { queries, scale } = plan(q, k, v, options);
  const out = array(q.shape);
  for (const { i, keys } of queries) {
    const p = probabilities(row(q, i), k, keys, scale);
    keys.forEach((j, n) => {
      accumulate(row(out, i), p[n]!, row(v, j));
    });
  }
  return out;
}

/** dq, dk and dv in the shapes of q, k and v; a key head collects from all query heads of its group. */
export function attentionBackward(
  dout: Arr,
  q: Arr,
  k: Arr,
  v: Arr,
  options: AttentionOptions = {},
): { dq: Arr; dk: Arr; dv: Arr } {
  const { queries, scale } = plan(q, k, v, options);
  const dq = array(q.shape);
  const dk = array(k.shape);
  const dv = array(v.shape);
  for (const { i, keys } of queries) {
    const p = probabilities(row(q, i), k, keys, scale);
    const dp = keys.map((j) => dot(row(dout, i), row(v, j)));
    const average = p.reduce((sum, weight, n) => sum + weight * dp[n]!, 0);
    keys.forEach((j, n) => {
      const ds = p[n]! * (dp[n]! - average);
      accumulate(row(dv, j), p[n]!, row(dout, i));
      accumulate(row(dq, i), scale * ds, row(k, j));
      accumulate(row(dk, j), scale * ds, row(q, i));
    });
  }
  return { dq, dk, dv };
}
