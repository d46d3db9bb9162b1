// Where things lie in linear memory. Everything the engine knows about itself is kept here, in memory, and
// never in a WASM global: globals belong to one instance, memory to all threads.
//
//   0      64      1024        4096           8320       20480
//   | null | state | constants | thread lines | products | heap: persistent blocks and arena chunks ... -> grows
//

/** Address 0 is "no tensor"; reads of it are zeros. */
export const STATE: usize = 64;
/** v128 constants that kernels load (literals in loops are rebuilt at every use by some engines). */
export const CONSTANTS: usize = 1024;
/** 64-byte lines of launch.ts: the job, one a thread, the barrier; so no two threads write the same cache line. */
export const THREAD_LINES: usize = 4096;
/** A record a thread of the matrix product that it computes (gemm/product.ts). */
export const PRODUCTS: usize = 8320;
/** The first byte that the allocator may hand out. */
export const HEAP: usize = 20480;
/** Most threads that an engine can have, the main one included. */
export const MAX_THREADS: i32 = 64;
