import vm from "node:vm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { resolveLoraConfig } from "../../src/adapters/loraConfig.ts";
import { chooseModule } from "../../src/core/compile.ts";
import { init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { bytesOf, hrefOf, isMap, isShared, messageOf, typedArrayOf } from "../../src/core/realm.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";
import { tensor } from "../../src/tensor/create.ts";
import { add } from "../../src/tensor/elementwise.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { withGlobal } from "../support/withGlobal.ts";

const realm = (code: string): unknown => vm.runInNewContext(code, { URL });

// The first test: a build that was compiled before is not compiled again.
test("a host without a TextEncoder is told so", () => {
  const message = withGlobal("TextEncoder", undefined, () => {
    try {
      chooseModule({ deterministic: false });
      return "";
    } catch (error) {
      assert.instance(error, UsageError);
      return (error as Error).message;
    }
  });
  assert.match(message, /^This host has no TextEncoder, which lowrank needs/);
  assert.not.match(message, /Cloudflare|content security/);
});

test("bytes are known in every realm, and come out as bytes of this one", () => {
  const three = Uint8Array.of(1, 2, 3);
  const same = [
    three,
    Buffer.from(three),
    three.buffer,
    realm("Uint8Array.of(1, 2, 3)"),
    realm("Uint8Array.of(1, 2, 3).buffer"),
    realm("Uint8Array.of(0, 1, 2, 3, 4).subarray(1, 4)"),
    realm("class Bytes extends Uint8Array {}; Bytes.of(1, 2, 3)"),
    realm("const s = new SharedArrayBuffer(3); new Uint8Array(s).set([1, 2, 3]); s"),
  ];
  for (const value of same) {
    const bytes = bytesOf(value);
    assert.equal(bytes, three);
    assert.is(bytes?.constructor, Uint8Array);
  }
  assert.is(bytesOf(three), three);
  const disguised = { [Symbol.toStringTag]: "Uint8Array", length: 3 };
  for (const value of [null, undefined, 7, "abc", [1, 2, 3], {}, disguised, new Int8Array(3)]) {
    assert.is(bytesOf(value), null);
  }
  for (const value of [new DataView(new ArrayBuffer(3)), realm("new Float32Array(3)")]) {
    assert.is(bytesOf(value), null);
  }
});

test("typed arrays, maps, addresses and errors of another realm", () => {
  assert.is(typedArrayOf(realm("new Float32Array(2)")), "Float32Array");
  assert.is(typedArrayOf([1]), undefined);
  assert.ok(isMap(realm("new Map()")));
  assert.not.ok(isMap({ size: 0 }));
  assert.is(hrefOf(realm("new URL('http://a/b')")), "http://a/b");
  assert.is(hrefOf("http://a/b"), undefined);
  assert.is(messageOf(realm("new TypeError('no')")), "no");
  assert.is(messageOf("no"), "no");
  assert.is(messageOf(null), "null");
  assert.ok(isShared(new SharedArrayBuffer(1)));
  assert.not.ok(isShared(realm("new ArrayBuffer(1)") as ArrayBuffer));
});

test("a tensor takes numbers of another realm with their type", async () => {
  await init({ threads: 1 });
  const floats = tensor(realm("Float32Array.of(1.5, 2)") as Float32Array);
  assert.is(floats.dtype, "float32");
  assert.equal(floats.toArray(), Float32Array.of(1.5, 2));
  const ints = tensor(realm("Int32Array.of(1, 2)") as Int32Array, { shape: [2, 1] });
  assert.is(ints.dtype, "int32");
  assert.equal(ints.shape, [2, 1]);
});

test("a scope copies tensors out of an object of another realm", async () => {
  await init({ threads: 1 });
  const make = realm("(a) => ({ a, list: [a] })") as (a: unknown) => { a: Tensor; list: Tensor[] };
  const { a, list } = scope(() => make(add(tensor([1, 2]), 1)));
  assert.equal(a.toArray(), Float32Array.of(2, 3));
  assert.equal(list[0]?.toArray(), Float32Array.of(2, 3));
});

test("options and files of another realm", () => {
  const pattern = realm("new Map([['q_proj', 4]])") as Map<string, number>;
  assert.equal([...resolveLoraConfig({ rankPattern: pattern }).rankPattern], [["q_proj", 4]]);
  assert.throws(
    () => readTokenizerJson(realm("Uint8Array.of(123, 125)") as Uint8Array),
    (error: Error) => !/Uint8Array/.test(error.message),
  );
});

test.run();
