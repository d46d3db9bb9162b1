// workerd: the result is the answer to every request. Bytes compile only while this module is loaded.
import * as lowrank from "./node_modules/lowrank/dist/src/index.js";
import { report } from "./report.mjs";

export default {
  async fetch() {
    return Response.json(await report(lowrank, { threads: [1, 2] }));
  },
};
