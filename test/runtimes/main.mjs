// Node, Deno and Bun: the package by its name, the result as one line.
import * as lowrank from "lowrank";
import { report } from "./report.mjs";

console.log(JSON.stringify(await report(lowrank, { threads: [1, 2] })));
