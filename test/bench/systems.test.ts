// How the benchmark talks with other systems, with stand-ins for them: scripts that answer at once.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Message, varint } from "../../bench/peers/protobuf.ts";
import { type Command, reasonIn, type Spec, startSystem } from "../../bench/peers/system.ts";
import { expectKnown, takeTurns } from "../../bench/peers/turns.ts";

const spec: Spec = { kind: "step", size: "S", method: "lora", threads: 1, check: 2 };
const LOSSES = [5.546425, 5.528081];

/** A system that prints `first` and then answers, each run with `time`. */
function standIn(name: string, first: object, time = 1): Command {
  const script = `
    console.log("a system prints what it likes");
    console.log(${JSON.stringify(JSON.stringify(first))});
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const [verb, count] = line.split(" ");
      console.log(JSON.stringify(verb === "memory" ? { peakMB: 7 } : { times: Array(+count).fill(${time}) }));
    });`;
  return { name, program: process.execPath, arguments: ["-e", script, "--"] };
}

test("a system says what it computed, runs, tells its memory and ends", async () => {
  const system = await startSystem(standIn("a", { version: "1", losses: LOSSES }, 3), spec);
  assert.equal(system.ready.losses, LOSSES);
  assert.equal(await system.run(2), [3, 3]);
  assert.is(await system.peakMemory(), 7);
  await system.close();
});

test("a system that fails says why", async () => {
  const reasonOf = async (command: Command): Promise<string> => {
    try {
      await startSystem(command, spec);
      return "";
    } catch (error) {
      return String(error);
    }
  };
  assert.match(await reasonOf(standIn("a", { error: "no such size" })), /no such size/);
  const dying = "console.error('Error: I cannot'); process.exit(3)";
  const node = { name: "a", program: process.execPath };
  assert.match(
    await reasonOf({ ...node, arguments: ["-e", dying, "--"] }),
    /ended\. Error: I cannot/,
  );
  assert.match(await reasonOf({ name: "a", program: "/no/such/program", arguments: [] }), /ENOENT/);
});

test("the reason of a failure is the last line that names an error", () => {
  assert.is(reasonIn("at x\nTypeError: y is not\n  at z\n"), "TypeError: y is not");
  assert.is(reasonIn("first\nlast\n"), "last");
  assert.is(reasonIn(""), "");
});

test("who computes something else does not take part, and the others go on", async () => {
  const missing: string[] = [];
  const contestants = [
    standIn("fast", { version: "1", losses: LOSSES }, 2),
    standIn("wrong", { version: "1", losses: [LOSSES[0], 5.6] }),
    standIn("slow", { version: "1", losses: LOSSES }, 4),
  ].map((command) => ({ name: command.name, command, spec, calls: 1 }));
  const { times, memory } = await takeTurns(contestants, { rounds: 2, seconds: 10 }, (what, why) =>
    missing.push(`${what}: ${why}`),
  );
  assert.equal(
    [...times],
    [
      ["fast", [2, 2]],
      ["slow", [4, 4]],
    ],
  );
  assert.equal([...memory.keys()], ["fast", "slow"]);
  assert.is(missing.length, 1);
  assert.match(missing[0] ?? "", /^wrong, step S lora: Its losses are 5\.546425 5\.6/);
});

test("decoding is held to the known tokens", () => {
  const decoding: Spec = { kind: "decode", size: "M", threads: 1, check: 3 };
  const saying = (tokens: readonly number[]) => ({ name: "a", ready: { version: "1", tokens } });
  expectKnown(decoding, saying([411, 307, 308]));
  assert.throws(() => expectKnown(decoding, saying([411, 307, 309])), /decodes 411 307 309/);
});

test("messages are written as the documentation of protocol buffers writes its example", () => {
  assert.equal([...new Message().int(1, 150).encoded()], [0x08, 0x96, 0x01]);
  const text = [0x12, 0x07, ...Buffer.from("testing")];
  assert.equal([...new Message().text(2, "testing").encoded()], text);
  const inner = new Message().int(1, 150);
  assert.equal([...new Message().message(3, inner).encoded()], [0x1a, 0x03, 0x08, 0x96, 0x01]);
  assert.equal(varint(-2), [0xfe, ...Array(8).fill(0xff), 0x01]);
  assert.equal([...new Message().float(2, 1).encoded()], [0x15, 0, 0, 0x80, 0x3f]);
});

test.run();
