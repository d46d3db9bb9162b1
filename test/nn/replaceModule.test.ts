// Every module of a Transformer can be replaced from outside.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import type { BodyLike } from "../../src/nn/body.ts";
import type { Layer } from "../../src/nn/layer.ts";
import { Module } from "../../src/nn/module.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { smallModel, styles } from "../support/models.ts";

await init({ deterministic: true, threads: 1 });

/** Stands for another module, and counts how often it is asked for what it computes. */
class Counted extends Module {
  calls = 0;
  readonly inner: Module;
  override readonly kind: Module["kind"];

  constructor(inner: Module) {
    super(inner);
    this.inner = inner;
    this.kind = inner.kind;
  }

  get virtualTokens(): number {
    return (this.inner as BodyLike).virtualTokens;
  }

  embed(ids: Tensor): Tensor {
    return (this.inner as BodyLike).embed(ids);
  }

  forward(...args: Parameters<Layer["forward"]>): Tensor {
    this.calls += 1;
    return (this.inner as Layer).forward(...args);
  }

  override child(name: string): Module {
    // A list of blocks computes nothing itself.
    if (this.kind === "other") this.calls += 1;
    return super.child(name);
  }
}

for (const [style, config] of styles) {
  test(`what replaces a module of a ${style} is used, wherever it is`, () => {
    const model = smallModel(config);
    const logits = () =>
      scope(() => model.forward(tensor(Int32Array.of(1, 2, 3), { shape: [1, 3] })).toArray());
    const expected = logits();
    const paths = [...model.namedModules()].map(([path]) => path).filter((path) => path !== "");
    assert.ok(paths.length > 8 * config.layers, "norms, attention, MLP and projections");
    for (const path of paths) {
      const original = model.moduleAt(path);
      const counted = new Counted(original);
      model.replaceModule(path, counted);
      assert.is(model.moduleAt(path), counted);
      assert.equal(logits(), expected, path);
      assert.ok(counted.calls > 0, `${path} was not used`);
      model.replaceModule(path, original);
      counted.calls = 0;
      assert.equal(logits(), expected, path);
      assert.is(counted.calls, 0, path);
    }
    model.dispose();
  });
}

test("modules that stand for others have the same names below them", () => {
  const model = smallModel(styles[0]![1]);
  const names = () => [...model.namedParameters()].map(([name]) => name);
  const before = names();
  for (const [path] of [...model.namedModules()].toReversed()) {
    if (path !== "") model.replaceModule(path, new Counted(model.moduleAt(path)));
  }
  assert.equal(names(), before);
  model.dispose();
});

test.run();
