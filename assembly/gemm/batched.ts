// Many products of one shape: C[i] = or += A[i] · B[i], the operands of batch i lying stride elements further on.
// A stride of 0 broadcasts A or B; for C it sums the batches into one C, in order (with accumulate).
import { gemm } from "./gemm";
import { Split } from "./policy";

/**
 * The batched `gemm`; scratch as `gemmScratch` says. Threads take whole batches where these are many or divide
 * evenly, else they share each batch; in both cases no two threads write the same element.
 */
export function batched(
  count: i32,
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32, strideA: i32,
  b: usize, bLayout: i32, ldb: i32, strideB: i32,
  c: usize, ldc: i32, strideC: i32,
  accumulate: bool,
  scratch: usize, thread: i32, threads: i32,
): void {
  let first = 0;
  let end = count;
  let part = thread;
  let parts = threads;
  if (strideC != 0 && (count >= 4 * threads || count % threads == 0)) {
    first = Split.first(count, thread, threads);
    end = Split.first(count, thread + 1, threads);
    part = 0;
    parts = 1;
  }
  for (let i = first; i < end; i++) {
    const ai = a + ((<usize>i * <usize>strideA) << 2);
    const bi = b + ((<usize>i * <usize>strideB) << 2);
    const ci = c + ((<usize>i * <usize>strideC) << 2);
    gemm(m, n, k, ai, aLayout, lda, bi, bLayout, ldb, ci, ldc, accumulate, scratch, part, parts);
  }
}
