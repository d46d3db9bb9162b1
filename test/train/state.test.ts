// The training state as a value: what goes on from it goes on to the bit, and bytes that are not exactly one's own are
// refused and change nothing.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import type { LoraOptions } from "../../src/adapters/loraConfig.ts";
import { FormatError, type LowrankError, UsageError } from "../../src/core/error.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.ts";
import { crc32 } from "../../src/train/checksum.ts";
import type { StepReport } from "../../src/train/progress.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter, llamaStyle, smallModel } from "../support/models.ts";
import { letters, lines, makeRun, type Run, type RunOptions } from "./run.ts";

const all = await engines();

/** Takes steps and returns what they report. */
function steps({ trainer }: Run, count: number): StepReport[] {
  return Array.from({ length: count }, () => trainer.trainStep());
}

const options: RunOptions = { loraDropout: 0.2, gradientAccumulation: 2 };

for (const [from, to] of [
  [0, 0],
  [1, 1],
  [0, 1],
  [2, 3],
  [3, 2],
] as const) {
  const [first, second] = [all[from]!, all[to]!];
  test(`a run of ${first.name} that goes on elsewhere (${second.name}) equals one never stopped`, () => {
    const whole = first.engine.run(() => {
      const run = makeRun(options);
      const reports = steps(run, 8);
      const state = run.trainer.state();
      run.end();
      return { reports, state };
    });
    for (const stop of [0, 1, 5, 8]) {
      const saved = first.engine.run(() => {
        const run = makeRun(options);
        steps(run, stop);
        const state = run.trainer.state();
        run.end();
        return state;
      });
      second.engine.run(() => {
        const run = makeRun(options);
        // Whatever it has done before, it is where the other was.
        steps(run, 3);
        run.trainer.loadState(saved);
        assert.is(run.trainer.step, stop);
        assert.equal(run.trainer.state(), saved);
        assert.equal(steps(run, 8 - stop), whole.reports.slice(stop));
        assert.equal(run.trainer.state(), whole.state);
        run.end();
      });
    }
  });
}

const { engine } = all[0]!;

/** Asserts that the run refuses these bytes and stays as it is. */
function refuses(run: Run, bytes: Uint8Array, kind: typeof LowrankError, message?: RegExp): void {
  const before = run.trainer.state();
  assert.throws(
    () => run.trainer.loadState(bytes, "state.bin"),
    (error: unknown) =>
      error instanceof kind &&
      /state\.bin/.test(error.message) &&
      (message?.test(error.message) ?? true),
  );
  assert.equal(run.trainer.state(), before);
}

test("a state cut anywhere is refused, and nothing changes", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 1);
    const saved = run.trainer.state();
    steps(run, 1);
    for (
      let length = 0;
      length < saved.length;
      length += length < 64 ? 1 : 1 + Math.floor(saved.length / 61)
    ) {
      refuses(run, saved.subarray(0, length), FormatError);
    }
    refuses(run, saved.subarray(0, -1), FormatError);
    refuses(run, Uint8Array.of(...saved.subarray(0, 100), ...saved), FormatError);
    refuses(run, Uint8Array.of(...saved, 0), FormatError, /bytes after its header/);
    run.trainer.loadState(saved);
    run.end();
  });
});

test("a state with a byte changed anywhere is refused, and nothing changes", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 1);
    const saved = run.trainer.state();
    steps(run, 1);
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(200), fc.nat(saved.length - 1)),
        fc.integer({ min: 1, max: 255 }),
        (at, bits) => {
          const damaged = saved.slice();
          damaged[at]! ^= bits;
          refuses(run, damaged, FormatError);
        },
      ),
      { numRuns: 60 },
    );
    run.end();
  });
});

test("a state whose checksum is right but whose counts are not is refused, and nothing changes", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 2);
    const saved = run.trainer.state();
    const { metadata, tensors } = readSafetensors(saved.subarray(16), "the state");
    for (const [key, value] of [
      ["step", "many"],
      ["step", "-1"],
      ["step", "1.5"],
      ["steps", "["],
      ["steps", '["2"]'],
      ["steps", "{}"],
      ["steps", "[1e99]"],
    ] as const) {
      const body = writeSafetensors(tensors, new Map([...metadata, [key, value]]));
      const forged = new Uint8Array(16 + body.length);
      forged.set(saved.subarray(0, 8));
      forged.set(body, 16);
      const view = new DataView(forged.buffer);
      view.setUint32(8, body.length, true);
      view.setUint32(12, crc32(body), true);
      refuses(run, forged, FormatError, /counts steps/);
    }
    run.end();
  });
});

test("another run's state is refused, and nothing changes", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 2);
    const others: readonly (readonly [RunOptions, RegExp])[] = [
      [{ seed: 9 }, /seed/],
      [{ steps: 9 }, /steps/],
      [{ gradientAccumulation: 1 }, /gradientAccumulation/],
      [{ batchSize: 3 }, /batchSize/],
      [{ dataSeed: 4 }, /seed/],
      [{ text: lines(60, 1) }, /trainTokens/],
      // As many of everything, but the last letters of lines are others.
      [
        {
          text: lines(40, 1).replace(
            /([a-y])"}/g,
            (_, c) => `${String.fromCharCode(c.charCodeAt(0) + 1)}"}`,
          ),
        },
        /firstBatch/,
      ],
      [{ r: 3 }, /adapters are/],
      [{ loraAlpha: 16 }, /loraAlpha/],
      [{ loraDropout: 0.1 }, /loraDropout/],
      [{ targets: ["q_proj"] }, /q_proj|v_proj/],
      [{ targets: ["q_proj", "v_proj", "up_proj"] }, /up_proj/],
    ];
    for (const [change, message] of others) {
      const other = makeRun({ ...options, ...change });
      steps(other, 1);
      const bytes = other.trainer.state();
      other.end();
      refuses(run, bytes, UsageError, message);
    }
    run.end();
  });
});

test("a state of another base, or beside another merged adapter, is refused, and nothing changes", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 2);
    const change = (change: (model: Run["model"]) => void): Uint8Array => {
      const other = makeRun(options);
      change(other.model);
      steps(other, 1);
      const bytes = other.trainer.state();
      other.end();
      return bytes;
    };
    // The smallest step of one number, in a matrix that lies as panels and in a vector.
    for (const name of ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"]) {
      const bytes = change((model) => {
        const parameter = new Map(model.namedParameters()).get(name)!;
        const values = parameter.toArray();
        new Uint32Array(values.buffer)[7]! ^= 1;
        parameter.set(values);
      });
      refuses(
        run,
        bytes,
        UsageError,
        /frozen weights .* are \d+, but here \d+\. Use the same model/,
      );
    }
    const merged = change((model) => {
      injectLora(model, { r: 1 }, { adapterName: "other" }).merge();
      setActiveAdapters(model, ["default", "other"]);
    });
    refuses(run, merged, UsageError, /merged adapters are \["other"\], but here \[\]/);
    run.trainer.loadState(change(() => {}));
    run.end();
  });
});

test("ranks by pattern are not taken for alphas by pattern", () => {
  engine.run(() => {
    const make = (patterns: LoraOptions): Trainer => {
      const model = smallModel(llamaStyle);
      injectLora(model, { r: 4, loraAlpha: 4, targetModules: ["q_proj", "v_proj"], ...patterns });
      const data = jsonlDataset(letters, lines(20, 1), { batchSize: 2, blockSize: 16, seed: 1 });
      return new Trainer(model, data, { steps: 2 });
    };
    const byRank = make({ rankPattern: { q_proj: 4 } });
    const byAlpha = make({ alphaPattern: { q_proj: 4 } });
    assert.throws(() => byRank.loadState(byAlpha.state()), /adapters are .*alphaPattern/);
  });
});

test("an adapter that takes no part does not keep a state from being taken up, whatever it holds", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 1);
    const state = run.trainer.state();
    const idle = injectLora(run.model, { r: 2 }, { adapterName: "idle" });
    setActiveAdapters(run.model, "default");
    const other = new Trainer(run.model, run.data, run.trainer.options);
    other.loadState(state);
    assert.equal(other.state(), state);
    drawAdapter(idle);
    const third = new Trainer(run.model, run.data, run.trainer.options);
    third.loadState(state);
    for (const trainer of [other, third]) trainer.dispose();
    run.end();
  });
});

test("a state goes on with another learning rate", () => {
  engine.run(() => {
    const run = makeRun(options);
    steps(run, 3);
    const lower = makeRun({ ...options, lr: 1e-4 });
    lower.trainer.loadState(run.trainer.state());
    assert.is(lower.trainer.step, 3);
    assert.ok(lower.trainer.trainStep().lr <= 1e-4);
    for (const one of [run, lower]) one.end();
  });
});

test.run();
