// What holds for every adapter method: one table of methods times properties. A method that cannot have a property says
// so in its row, and then the refusal, or the difference, is what is tested.

import { createHash } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Adapter } from "../../src/adapters/adapter.ts";
import { injectAdapter } from "../../src/adapters/inject.ts";
import { registerMethod } from "../../src/adapters/methods.ts";
import { adaptersOf, baseParameters } from "../../src/adapters/set.ts";
import { UsageError } from "../../src/core/error.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import { KvCache } from "../../src/nn/cache.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { fill } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { failsCleanly, smallEngine } from "../support/exhaustion.ts";
import { logitsOf } from "../support/logits.ts";
import { randomBatch, smallModel, styles } from "../support/models.ts";
import { distance, referenceLogits, weightsOf } from "../support/referenceModel.ts";
import { letters } from "../train/run.ts";
import { type MethodRow, rows } from "./methodRows.ts";

const all = await engines();
const small = await smallEngine();
for (const { method } of rows) registerMethod(method);

type Any = Adapter<object>;

const inject = (model: Transformer, { method, options }: MethodRow): Any =>
  injectAdapter(model, method, options, { seed: 3 });

/** Numbers as if the adapter had trained. */
function draw(adapter: Any, { trained: [min, max] }: MethodRow): void {
  let seed = 100;
  for (const parameter of adapter.trainableParameters()) {
    parameter.set(fill(parameter.shape, seed++, { min, max }));
  }
}

/** The rows of a text each, as methods with virtual tokens ask for. */
const batchOf = (config: ModelConfig, seed = 1): TokenBatch =>
  randomBatch(config, { batchSize: 2, blockSize: 9, seed });

function bytesOf(model: Transformer): string {
  const hash = createHash("sha256");
  for (const [name, parameter] of baseParameters(model)) {
    hash.update(name).update(new Uint8Array(parameter.toArray().buffer));
  }
  return hash.digest("hex");
}

const valuesOf = (adapter: Any): Float32Array[] =>
  [...adapter.parameters()].map((parameter) => parameter.toArray() as Float32Array);

/** Three steps of AdamW, captured or not: losses and what has trained. */
function train(model: Transformer, adapter: Any, isCaptured: boolean): unknown {
  const optimizer = new AdamW(adapter.trainableParameters(), { lr: 1e-2 });
  const body = (batch: TokenBatch) => {
    const loss = model.loss(batch);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const step = capture(body);
  const losses = [1, 2, 3].map((seed) => {
    const batch = batchOf(model.config, seed);
    return isCaptured ? step(batch).item() : scope(() => body(batch).item());
  });
  step.dispose();
  optimizer.dispose();
  return { losses, values: valuesOf(adapter) };
}

for (const row of rows) {
  const { method, lacks } = row;
  for (const [style, config] of styles) {
    if (style === row.notOn?.[0]) {
      test(`${method.name}: a ${style} has nothing for it, and is left as it was`, () => {
        all[0]!.engine.run(() => {
          const model = smallModel(config);
          const bytes = bytesOf(model);
          assert.throws(() => inject(model, row), row.notOn?.[1]);
          assert.is(adaptersOf(model).adapters.size, 0);
          assert.is(bytesOf(model), bytes);
          model.dispose();
        });
      });
      continue;
    }

    /** A property of a fresh adapter in every engine. */
    const holds = (
      what: string,
      body: (model: Transformer, adapter: () => Any) => void,
      used: ModelConfig = config,
    ): void => {
      for (const { name, engine } of all) {
        test(`${method.name}: ${what} (${style}; ${name})`, () => {
          engine.run(() => {
            const model = smallModel(used);
            body(model, () => inject(model, row));
            model.dispose();
          });
        });
      }
    };

    holds("a fresh adapter computes what the base computes", (model, make) => {
      const batch = batchOf(config);
      const base = logitsOf(model, batch);
      make();
      if (lacks.fresh === undefined) expectSame(logitsOf(model, batch), base);
      else assert.ok(distance(logitsOf(model, batch), base) > 1e-3, lacks.fresh);
    });

    holds("unmerging restores every bit, and so does switching off", (model, make) => {
      const batch = batchOf(config);
      const [bytes, base] = [bytesOf(model), logitsOf(model, batch)];
      const adapter = make();
      draw(adapter, row);
      const adapted = logitsOf(model, batch);
      assert.ok(distance(adapted, base) > 1e-3, "the adapter matters");
      assert.is(bytesOf(model), bytes);
      if (lacks.merge === undefined) {
        adapter.merge();
        assert.is.not(bytesOf(model), bytes);
        assert.ok(distance(logitsOf(model, batch), adapted) < 1e-3, "merged is not far off");
        adapter.unmerge();
      } else {
        assert.throws(
          () => adapter.merge(),
          (error: unknown) => error instanceof UsageError && /cannot be merged/.test(error.message),
        );
        assert.not(adapter.merged);
      }
      assert.is(bytesOf(model), bytes);
      assert.equal(logitsOf(model, batch), adapted);
      adapter.disable();
      assert.equal(logitsOf(model, batch), base);
      adapter.activate();
      assert.equal(logitsOf(model, batch), adapted);
      adapter.remove();
      assert.equal(logitsOf(model, batch), base);
    });

    if (row.reference !== undefined) {
      // The base's own error is the yardstick: what float32 costs this model on this batch.
      holds("merged and unmerged are within twice the base's error", (model, make) => {
        const batch = randomBatch(config, { batchSize: 4, blockSize: 12, packed: true });
        const state = model.stateDict();
        const truth = referenceLogits(config, weightsOf(state), batch).data;
        const allowed = 2 * distance(logitsOf(model, batch), truth);
        const adapter = make();
        draw(adapter, row);
        const weights = weightsOf(state, [adapter], row.reference);
        const adapted = referenceLogits(config, weights, batch).data;
        assert.ok(distance(adapted, truth) > 100 * allowed, "the adapter matters");
        const scale =
          distance(
            adapted,
            adapted.map(() => 0),
          ) /
          distance(
            truth,
            truth.map(() => 0),
          );
        const bound = allowed * Math.max(1, scale);
        const unmerged = distance(logitsOf(model, batch), adapted);
        adapter.merge();
        const merged = distance(logitsOf(model, batch), adapted);
        assert.ok(unmerged <= bound, `unmerged ${unmerged} > ${bound}`);
        assert.ok(merged <= bound, `merged ${merged} > ${bound}`);
      });
    } else assert.ok(lacks.reference, `${method.name} has no page`);

    // 528 rows of 4,099 logits are above the limit of 8 MB, from which on head and loss are one op.
    const wide = { ...config, vocabSize: 4099 };
    holds(
      "the loss is the cross-entropy of forward, above and below the limit of chunks",
      (model, make) => {
        draw(make(), row);
        for (const [batchSize, blockSize] of [
          [2, 5],
          [12, 44],
        ] as const) {
          const batch = randomBatch(wide, { batchSize, blockSize });
          const shape = [batchSize, blockSize];
          const expected = scope(() => {
            const positions = tensor(batch.positions, { shape });
            const logits = model.forward(tensor(batch.inputs, { shape }), { positions });
            return crossEntropy(logits, tensor(batch.targets, { shape })).item();
          });
          assert.is(
            scope(() => model.loss(batch).item()),
            expected,
          );
        }
      },
      wide,
    );

    holds("a captured step has the bits of an eager one", (model, make) => {
      const adapter = make();
      draw(adapter, row);
      const start = valuesOf(adapter);
      const eager = train(model, adapter, false);
      [...adapter.parameters()].forEach((parameter, i) => {
        parameter.set(start[i] ?? []);
      });
      assert.equal(train(model, adapter, true), eager);
    });

    holds("decoding with a cache has the bits of the full forward", (model, make) => {
      draw(make(), row);
      const ids = batchOf(config).inputs.slice(0, 9);
      const full = scope(() => model.forward(tensor(ids, { shape: [1, 9] })).toArray());
      const cache = new KvCache(config, 1, 9 + model.body.virtualTokens);
      const pieces = [ids.slice(0, 4), ids.slice(4, 5), ids.slice(5)].flatMap((piece) =>
        scope(() =>
          noGrad(() => [
            ...model.forward(tensor(piece, { shape: [1, piece.length] }), { cache }).toArray(),
          ]),
        ),
      );
      assert.equal(Float32Array.from(pieces), full);
      cache.dispose();
    });

    holds("gradient checkpointing changes no bit", (model, make) => {
      const adapter = make();
      draw(adapter, row);
      const gradients = () => {
        scope(() => model.loss(batchOf(config)).backward());
        return [...adapter.trainableParameters()].map((parameter) => {
          const { grad } = parameter;
          parameter.zeroGrad();
          return grad;
        });
      };
      const plain = gradients();
      assert.ok(plain.every((gradient) => gradient !== null));
      model.gradientCheckpointing = true;
      assert.equal(gradients(), plain);
    });

    holds("only the adapter's own tensors train, and all of them", (model, make) => {
      const bytes = bytesOf(model);
      const adapter = make();
      draw(adapter, row);
      const trains = new Set(adapter.trainableParameters());
      assert.equal(new Set(model.trainableParameters()), trains);
      const before = new Map([...adapter.parameters()].map((p) => [p, p.toArray()]));
      train(model, adapter, false);
      assert.is(bytesOf(model), bytes);
      for (const [parameter, values] of before) {
        const isSame = String(parameter.toArray()) === String(values);
        assert.is(isSame, !trains.has(parameter));
      }
    });

    holds("a resumed run has the bits of one that was never stopped", (model, make) => {
      const text = "thequickbrownfoxjumpsoverthelazydog".repeat(30);
      const data = textDataset(letters, text, { batchSize: 2, blockSize: 8, validation: 0 });
      const adapter = make();
      const start = valuesOf(adapter);
      const reset = () => {
        [...adapter.parameters()].forEach((parameter, i) => {
          parameter.set(start[i] ?? []);
        });
      };
      const options = { steps: 4, lr: 1e-2, seed: 1 };
      const whole = new Trainer(model, data, options);
      const losses = [...whole.run()].map(({ loss }) => loss);
      const expected = valuesOf(adapter);
      whole.dispose();
      reset();
      const first = new Trainer(model, data, options);
      first.trainStep();
      first.trainStep();
      const state = first.state();
      first.dispose();
      reset();
      const second = new Trainer(model, data, options);
      second.loadState(state);
      assert.equal(
        [...second.run()].map(({ loss }) => loss),
        losses.slice(2),
      );
      assert.equal(valuesOf(adapter), expected);
      second.dispose();
    });

    test(`${method.name}: one and two threads train to the same bits (${style})`, () => {
      const results = all.map(({ engine }) =>
        engine.run(() => {
          const model = smallModel(config);
          const adapter = inject(model, row);
          const result = train(model, adapter, true);
          model.dispose();
          return result;
        }),
      );
      assert.equal(results[1], results[0]);
      assert.equal(results[3], results[2]);
    });

    test(`${method.name}: saved, loaded and saved again it is the same bytes (${style})`, async () => {
      const [first, second] = all[0]!.engine.run(() => [smallModel(config), smallModel(config)]);
      const adapter = all[0]!.engine.run(() => inject(first!, row));
      draw(adapter, row);
      const files = adapterFiles(adapter);
      const loaded = await loadAdapter<object>(second!, Object.fromEntries(files));
      assert.equal(loaded.warnings, []);
      assert.is(loaded.method, method);
      const again = adapterFiles(loaded);
      for (const [name, bytes] of files) {
        assert.ok(Buffer.from(bytes).equals(again.get(name)!), `${name}\n${text(bytes)}`);
      }
      const batch = batchOf(config);
      all[0]!.engine.run(() => assert.equal(logitsOf(second!, batch), logitsOf(first!, batch)));
      first!.dispose();
      second!.dispose();
    });

    test(`${method.name}: without memory for it the model stays as it was (${style})`, () => {
      const whole = { ...config, layers: 1, vocabSize: 64, kvHeads: 4 };
      const model = small.run(() => smallModel(whole));
      const same = () => [
        [...model.namedParameters()].map(([name, p]) => [name, p.requiresGrad, p.packed]),
        [...adaptersOf(model).adapters.keys()],
        adaptersOf(model).active,
      ];
      const { failures, result } = failsCleanly(small, () => inject(model, row), { same });
      assert.ok(failures > 1, `${failures}`);
      result.remove();
      model.dispose();
    });
  }

  test(`${method.name}: its keys are those of the tensors that it makes`, () => {
    all[0]!.engine.run(() => {
      const model = smallModel(styles[0]![1]);
      const adapter = inject(model, row);
      const keys = [...adapter.layers.keys()].flatMap((path) => [
        ...adapter.tensorsOf(path).keys(),
      ]);
      assert.equal(new Set(keys), new Set(method.keys));
      model.dispose();
    });
  });
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).slice(0, 2000);

test.run();
