// Paths for what a test writes.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";

/** Gives a new path at each call, in a directory that goes after the tests of this process. */
export function temporaryPaths(name: string): () => string {
  const root = mkdtempSync(join(tmpdir(), `${name}-`));
  test.after(() => rmSync(root, { recursive: true }));
  let count = 0;
  return () => join(root, String(count++));
}
