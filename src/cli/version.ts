// The version of the package, from its package.json, which lies three folders above the compiled code.

import { createRequire } from "node:module";

export function version(): string {
  const manifest = createRequire(import.meta.url)("../../../package.json") as { version: string };
  return manifest.version;
}
