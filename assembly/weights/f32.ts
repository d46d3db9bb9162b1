// Weights in float32, as they are.

// @ts-ignore: decorator
@unmanaged
export class F32Weight {
  /** The base-2 logarithm of an element's bytes. */
  // @ts-ignore: decorator
  @inline
  shift(): usize {
    return 2;
  }

  /** The first four of the eight elements at `at`. */
  // @ts-ignore: decorator
  @inline
  low(at: usize): v128 {
    return v128.load(at);
  }

  /** The last four of the eight elements at `at`. */
  // @ts-ignore: decorator
  @inline
  high(at: usize): v128 {
    return v128.load(at, 16);
  }

  // @ts-ignore: decorator
  @inline
  one(at: usize): f32 {
    return load<f32>(at);
  }
}
