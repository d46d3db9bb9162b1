// What one thread does of a job.

import { optimize } from "../ops/optimizer";
import { tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import * as ops from "./dispatch";

/** What a thread does in a job; called on every thread by launch.ts. */
export function execute(job: i32, record: usize, thread: i32, threads: i32): void {
  if (job == Job.Forward) ops.forward(tensor(record), thread, threads);
  else if (job == Job.Backward) ops.backward(tensor(record), thread, threads);
  else optimize(job, record, thread, threads);
}
