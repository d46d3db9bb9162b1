// A browser's page: the result is posted back to where the page came from.
import * as lowrank from "./node_modules/lowrank/dist/lib/api/index.js";
import { report } from "./report.mjs";

const result = await report(lowrank, { threads: [1, 2] });
await fetch("./result", { method: "POST", body: JSON.stringify(result) });
