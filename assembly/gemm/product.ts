// A product as a record: C [m, n] = or += A·B, then + bias [n], then + t [m, r] · Bt [r, n] (see gemm.ts). Every thread
// has one, which the caller fills before each product and the product narrows to the thread's slice.

import { PRODUCTS } from "../memory/layout";
import { B_BF16, B_BF16_T, B_PANELS, B_PANELS_T, B_ROWS } from "./blocking";

/** Bytes from one thread's record to the next: two lines, so that no two threads write the same one. */
const APART: usize = 128;

/** A matrix that a product reads. */
// @ts-ignore: decorator
@unmanaged
export class Operand {
  data: usize;
  /** One of the layouts of blocking.ts. */
  layout: i32;
  /** Elements between neighbouring rows of the matrix as it is stored. */
  ld: i32;
  /** Of a weight of a storage type in dY·W: the column of it that column 0 is. */
  column: i32;

  // @ts-ignore: decorator
  @inline
  set(data: usize, layout: i32, ld: i32): void {
    this.data = data;
    this.layout = layout;
    this.ld = ld;
    this.column = 0;
  }

  /** Makes column n0, a multiple of 8, the first one of a B operand. */
  startAt(n0: i32): void {
    const layout = this.layout;
    if (layout >= B_BF16_T) this.column = n0;
    else if (layout >= B_BF16) this.data += (<usize>n0 * <usize>this.ld) << 1;
    else this.data = this.at(0, n0);
  }

  /** Address of element (k0, n0) of a B operand of floats; where these run across panels, they are multiples of 8. */
  at(k0: i32, n0: i32): usize {
    const k = <usize>k0;
    const n = <usize>n0;
    const ld = <usize>this.ld;
    const layout = this.layout;
    if (layout == B_PANELS) return this.data + ((n * ld + (k << 3)) << 2);
    if (layout == B_PANELS_T) return this.data + ((k * ld + (n << 3)) << 2);
    return this.data + ((layout == B_ROWS ? k * ld + n : n * ld + k) << 2);
  }
}

// @ts-ignore: decorator
@unmanaged
export class Product {
  m: i32;
  n: i32;
  k: i32;
  /** C, row-major, and the elements between its rows. */
  c: usize;
  ldc: i32;
  /** Whether C holds something, to which the product is added. */
  accumulate: bool;
  /** 0 for none. */
  bias: usize;
  /** Rank of the low-rank branch; 0 for none. */
  r: i32;

  /** The thread's record, with neither bias nor branch. */
  static of(thread: i32, m: i32, n: i32, k: i32, c: usize, ldc: i32, accumulate: bool): Product {
    const p = changetype<Product>(PRODUCTS + <usize>thread * APART);
    p.m = m;
    p.n = n;
    p.k = k;
    p.c = c;
    p.ldc = ldc;
    p.accumulate = accumulate;
    p.bias = 0;
    p.r = 0;
    return p;
  }

  // @ts-ignore: decorator
  @inline
  operand(i: usize): Operand {
    return changetype<Operand>(
      changetype<usize>(this) + offsetof<Product>() + i * offsetof<Operand>(),
    );
  }

  /** A is A_ROWS or A_COLS. */
  // @ts-ignore: decorator
  @inline
  get a(): Operand {
    return this.operand(0);
  }

  // @ts-ignore: decorator
  @inline
  get b(): Operand {
    return this.operand(1);
  }

  /** t is row-major. */
  // @ts-ignore: decorator
  @inline
  get t(): Operand {
    return this.operand(2);
  }

  /** Bt is B_COLS (stored [n, r]) or B_ROWS (stored [r, n]). */
  // @ts-ignore: decorator
  @inline
  get bt(): Operand {
    return this.operand(3);
  }
}
