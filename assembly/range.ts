// Are all numbers of an int32 tensor (ids, targets, positions) in range? Asked by the front end before an op.

import { settle } from "./plan";
import { note } from "./record";
import { Op } from "./op";
import { tensor } from "./tensor";

/**
 * Index of the first element of an int32 tensor outside [0, limit), −1 when there is none. `except` is accepted
 * too if `excepts` is set.
 */
export function firstOutside(at: usize, limit: i32, excepts: bool, except: i32): i32 {
  note(Op.ExpectInside, 1, at, 0, limit, i32(excepts), except);
  const t = tensor(at);
  if (t.data == 0) settle();
  for (let i = 0; i < t.size; i++) {
    const value = load<i32>(t.data + ((<usize>i) << 2));
    if (<u32>value >= <u32>limit && !(excepts && value == except)) return i;
  }
  return -1;
}
