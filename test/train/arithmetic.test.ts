// What makes bits is part of a training state: going on under another arithmetic is said, and refused where the bits were
// to be the same.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { binaryOf } from "../../src/core/compile.ts";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.ts";
import { arithmeticOf } from "../../src/train/arithmetic.ts";
import { crc32 } from "../../src/train/checksum.ts";
import { engines } from "../support/engines.ts";
import { thrown } from "../support/thrown.ts";
import { makeRun } from "./run.ts";

const [{ engine: deterministic }, , { engine: relaxed }] = (await engines()) as [
  { engine: Engine },
  unknown,
  { engine: Engine },
];
/** The baseline, taken because it was given. */
const given = await Engine.create({
  module: new WebAssembly.Module(binaryOf("baseline") as Uint8Array<ArrayBuffer>),
  threads: 1,
});

// (x, y, z) → lane 0 of f32x4.relaxed_madd of their splats.
const MADD = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 8, 1, 0x60, 3, 0x7d, 0x7d, 0x7d, 1, 0x7d, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0],
  ...[10, 22, 1, 20, 0, 0x20, 0, 0xfd, 19, 0x20, 1, 0xfd, 19, 0x20, 2, 0xfd, 19],
  ...[0xfd, 0x85, 2, 0xfd, 31, 0, 11],
];

/** What this host makes of a relaxed multiply-add. */
function ofHost(): string {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(MADD)), {});
  const madd = exports["f"] as (x: number, y: number, z: number) => number;
  const third = Math.fround(1 / 3);
  // The rounded product is taken away from the product: what is left is its error, or nothing.
  return madd(third, third, -Math.fround(third * third)) === 0 ? "unfused" : "fused";
}

/** The bytes of a state after two steps. */
function stateIn(engine: Engine): Uint8Array {
  return engine.run(() => {
    const run = makeRun();
    run.trainer.trainStep();
    run.trainer.trainStep();
    const state = run.trainer.state();
    run.end();
    return state;
  });
}

const metadataOf = (state: Uint8Array): Map<string, string> =>
  readSafetensors(state.subarray(16), "state").metadata;

/** The state with other metadata. */
function changed(state: Uint8Array, change: (metadata: Map<string, string>) => void): Uint8Array {
  const { tensors, metadata } = readSafetensors(state.subarray(16), "state");
  change(metadata);
  const body = writeSafetensors(tensors, metadata);
  const bytes = new Uint8Array(16 + body.length);
  bytes.set(state.subarray(0, 16));
  bytes.set(body, 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, body.length, true);
  view.setUint32(12, crc32(body), true);
  return bytes;
}

/** What the trainer of a fresh run says of a state that it goes on from. */
function warnings(engine: Engine, state: Uint8Array): readonly string[] {
  return engine.run(() => {
    const run = makeRun();
    assert.equal(run.trainer.warnings, []);
    run.trainer.loadState(state, "state.bin");
    assert.is(run.trainer.step, 2);
    assert.is(run.trainer.trainStep().step, 3);
    const { warnings } = run.trainer;
    run.end();
    return warnings;
  });
}

test("a state names the build, what the host makes of multiply-adds, and the revision", () => {
  for (const [engine, build, multiplyAdds] of [
    [deterministic, "baseline", "unfused"],
    [given, "baseline", "unfused"],
    [relaxed, "relaxed", ofHost()],
  ] as const) {
    assert.equal(arithmeticOf(engine), { build, multiplyAdds, revision: "1" });
    const metadata = metadataOf(stateIn(engine));
    assert.is(metadata.get("lowrank_build"), build);
    assert.is(metadata.get("lowrank_multiply_adds"), multiplyAdds);
    assert.is(metadata.get("lowrank_engine_revision"), "1");
  }
});

test("nothing is said where the bits are the same, nor of a state from before they were named", () => {
  for (const engine of [deterministic, given, relaxed]) {
    assert.equal(warnings(engine, stateIn(engine)), []);
    const old = changed(stateIn(engine), (metadata) => {
      for (const key of [...metadata.keys()]) if (key.startsWith("lowrank_")) metadata.delete(key);
    });
    assert.equal(warnings(engine, old), []);
  }
  assert.equal(warnings(deterministic, stateIn(given)), []);
});

test("going on with another build, other multiply-adds or another revision is said", () => {
  const state = stateIn(relaxed);
  const host = ofHost();
  const other = host === "fused" ? "unfused" : "fused";
  const [build = ""] = warnings(given, state);
  assert.match(build, /^state\.bin was made with the relaxed build/);
  assert.match(build, /and goes on with the baseline one/);
  assert.match(build, /not the same to the bit/);
  const bun = changed(state, (metadata) => metadata.set("lowrank_multiply_adds", other));
  assert.equal(warnings(relaxed, bun), [
    `state.bin was made with ${other} multiply-adds, and goes on with ${host} ones: the result is as good, but not the same to the bit.`,
  ]);
  const later = changed(state, (metadata) => metadata.set("lowrank_engine_revision", "2"));
  assert.equal(warnings(relaxed, later), [
    "state.bin was made with revision 2 of the engine, and goes on with revision 1: the result is as good, but not the same to the bit.",
  ]);
});

test("a deterministic engine refuses a state of other bits, and nothing has changed", () => {
  const later = changed(stateIn(deterministic), (metadata) =>
    metadata.set("lowrank_engine_revision", "2"),
  );
  deterministic.run(() => {
    const run = makeRun();
    run.trainer.trainStep();
    const before = run.trainer.state();
    for (const [state, what] of [
      [stateIn(relaxed), /with the relaxed build.*, and goes on with the baseline one/],
      [later, /with revision 2 of the engine, and goes on with revision 1/],
    ] as const) {
      const error = thrown(() => run.trainer.loadState(state, "state.bin"));
      assert.instance(error, UsageError);
      assert.match(error.message, /^state\.bin was made/);
      assert.match(error.message, what);
      assert.match(error.message, /deterministic/);
      assert.equal(run.trainer.state(), before);
    }
    run.end();
  });
});

test("a later state of the same bits takes the remark back", () => {
  relaxed.run(() => {
    const run = makeRun();
    run.trainer.loadState(stateIn(given));
    assert.is(run.trainer.warnings.length, 1);
    run.trainer.loadState(stateIn(relaxed));
    assert.equal(run.trainer.warnings, []);
    run.end();
  });
});

test.run();
