// workerd: the result is the answer to a request; a posted state is trained on for half a run, and answered. Bytes compile only while this module is loaded.
import * as lowrank from "./node_modules/lowrank/dist/lib/api/index.js";
import { half, report } from "./report.mjs";

export default {
  async fetch(request) {
    if (request.method === "POST") {
      const answer = await half(lowrank, { state: new Uint8Array(await request.arrayBuffer()) });
      return answer instanceof Uint8Array ? new Response(answer) : Response.json(answer);
    }
    return Response.json(await report(lowrank, { threads: [1, 2] }));
  },
};
