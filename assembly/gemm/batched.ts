// Many products of one shape: C[i] = or += A[i] · B[i], the operands of batch i lying stride elements further on.
// A stride of 0 broadcasts A or B; for C it sums the batches into one C, in order (with accumulate).
import { bounded } from "../memory/size";
import { Split } from "./blocking";
import { gemm, gemmScratch } from "./gemm";
import { Product } from "./product";

/** Whether each thread takes whole batches (else every batch is shared by all threads). */
function takesWhole(count: i32, strideC: i32, threads: i32): bool {
  return strideC != 0 && (count >= 4 * threads || count % threads == 0);
}

/** Bytes of scratch that `batched` needs for all threads together. */
// biome-ignore format: one operand a line
export function batchedScratch(
  count: i32, m: i32, n: i32, k: i32, bLayout: i32, strideC: i32, threads: i32,
): usize {
  if (!takesWhole(count, strideC, threads)) return gemmScratch(m, n, k, bLayout, threads);
  return bounded(<u64>threads * gemmScratch(m, n, k, bLayout, 1));
}

/**
 * The batched product: batch i of an operand lies i strides behind its data, in elements. Scratch as `batchedScratch`
 * says. Threads take whole batches where these are many or divide evenly, else they share each batch; in both cases
 * no two threads write the same element.
 */
export function batched(
  p: Product,
  count: i32,
  strideA: i32,
  strideB: i32,
  strideC: i32,
  scratch: usize,
  thread: i32,
  threads: i32,
): void {
  const m = p.m;
  const n = p.n;
  const k = p.k;
  const c = p.c;
  const a = p.a.data;
  const b = p.b.data;
  const ldb = p.b.ld;
  const accumulate = p.accumulate;
  let first = 0;
  let end = count;
  let part = thread;
  let parts = threads;
  if (takesWhole(count, strideC, threads)) {
    scratch += <usize>thread * gemmScratch(m, n, k, p.b.layout, 1);
    first = Split.first(count, thread, threads);
    end = Split.first(count, thread + 1, threads);
    part = 0;
    parts = 1;
  }
  for (let i = first; i < end; i++) {
    p.m = m;
    p.n = n;
    p.c = c + ((<usize>i * <usize>strideC) << 2);
    p.accumulate = accumulate;
    p.a.data = a + ((<usize>i * <usize>strideA) << 2);
    p.b.data = b + ((<usize>i * <usize>strideB) << 2);
    p.b.ld = ldb;
    gemm(p, scratch, part, parts);
  }
}
