// The random numbers of the golden runs and of test/fixtures: a 32-bit counter, then two mixing rounds.
//   s += 0x6D2B79F5;  t = (s ^ s>>>15) * (1 | s);  t = (t + (t ^ t>>>7) * (61 | t)) ^ t   (mod 2^32)
//   u = ((t ^ t>>>14) >>> 0) / 2^32;   normal = sqrt(-2 ln(1 - u1)) cos(2 pi u2), u1 drawn first
// Uniform numbers equal those of test/fixtures/generator.py to the last bit. Normal ones hang on the host's
// log and cos in the last bit of float64; rounded to float32 the two languages agree.

import type { TensorPlan } from "../fixtures/fixture.ts";

/** The stream of numbers that starts at one seed. */
export class Generator {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** The next multiple of 2^-32 in [0, 1). */
  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    const s = this.state;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** The next standard normal number; draws two uniform ones. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** `count` whole numbers in [0, below). */
  integers(count: number, below: number): Int32Array {
    return Int32Array.from({ length: count }, () => Math.floor(this.uniform() * below));
  }

  /** Start values for one tensor, at the head of `room` if there is one. A scale of 0 draws nothing and fills with the offset. */
  tensor(plan: TensorPlan, room?: Float32Array): Float32Array {
    const offset = plan.offset ?? 0;
    const count = plan.shape.reduce((product, size) => product * size, 1);
    const data = room?.subarray(0, count) ?? new Float32Array(count);
    if (plan.scale === 0) return data.fill(offset);
    for (let i = 0; i < data.length; i++) data[i] = offset + plan.scale * this.normal();
    return data;
  }
}
