// Does nothing but say that it runs: what any program takes to start.

import { writeSync } from "node:fs";

writeSync(1, "x");
