// Node, Deno and Bun: the package by its name, the result as one line. Options of init() come as one word of JSON.
import * as lowrank from "lowrank";
import { report } from "./report.mjs";

const options = JSON.parse(globalThis.process.argv[2] ?? "{}");
console.log(JSON.stringify(await report(lowrank, { threads: [1, 2], options })));
