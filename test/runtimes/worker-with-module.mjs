// workerd where bytes do not compile: the module is imported and handed to init.
import core from "./core.wasm";
import * as lowrank from "./node_modules/lowrank/dist/lib/api/index.js";
import { report } from "./report.mjs";

export default {
  async fetch() {
    return Response.json(await report(lowrank, { threads: [1, 2], module: core }));
  },
};
