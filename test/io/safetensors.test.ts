import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { type Dtype, dtypeBits, dtypes } from "../../src/io/dtype.ts";
import {
  fromFloat32,
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/io/safetensors.ts";

const fixtures = new URL("../../../test/fixtures/safetensors/", import.meta.url);
const files = readdirSync(fixtures).filter((name) => name.endsWith(".safetensors"));

function headerLength(file: Uint8Array): number {
  return new DataView(file.buffer, file.byteOffset).getUint32(0, true);
}

function tensor(dtype: Dtype, shape: number[]): StoredTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const length = (count * dtypeBits(dtype)) / 8;
  return { dtype, shape, bytes: Uint8Array.from({ length }, (_, i) => i + 1) };
}

const anyTensor = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
  })
  .filter(({ dtype, shape }) => (shape.reduce((a, b) => a * b, 1) * dtypeBits(dtype)) % 8 === 0)
  .map(({ dtype, shape }) => tensor(dtype, shape));
const anyName = fc
  .string({ unit: "binary", maxLength: 8 })
  .filter((name) => name !== "__metadata__");
const anyTensors = fc
  .array(fc.tuple(anyName, anyTensor), { maxLength: 8 })
  .map((list) => new Map(list));
const anyMetadata = fc
  .array(fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), { maxLength: 3 })
  .map((list) => new Map(list));

for (const name of files) {
  test(`${name} of the reference writer is written again to the same bytes`, () => {
    const bytes = new Uint8Array(readFileSync(new URL(name, fixtures)));
    const { tensors, metadata } = readSafetensors(bytes, name);
    assert.equal(writeSafetensors(tensors, metadata), bytes);
  });
}

test("the tensors of the reference writer have the dtypes, shapes and bytes that were put in", () => {
  const read = (name: string) => readSafetensors(readFileSync(new URL(name, fixtures)), name);
  const { tensors, metadata } = read("shapes.safetensors");
  assert.equal(tensors.get("scalar"), tensor("F32", []));
  assert.equal(tensors.get("none"), tensor("F32", [3, 0, 2]));
  assert.equal(tensors.get("half"), tensor("F16", [5]));
  assert.equal(tensors.get("row"), tensor("F32", [1, 7]));
  assert.equal([...metadata], [["note", 'café 😀 "quoted"\n']]);
  const expected = new Map(
    [...read("dtypes.safetensors").tensors.values()].map((t) => [t.dtype, t]),
  );
  for (const [dtype, stored] of expected) assert.equal(stored, tensor(dtype, [3]));
});

test("the header is padded with spaces to a multiple of 8, as in the published examples", () => {
  const first = writeSafetensors(new Map([["attn.0", tensor("F32", [1, 2, 3])]]));
  assert.is(headerLength(first), 64);
  assert.is(first[8 + 63], "}".charCodeAt(0));
  const second = writeSafetensors(new Map([["attn0", tensor("F32", [1, 1, 2, 3])]]));
  assert.is(headerLength(second), 72);
  assert.is(new TextDecoder().decode(second.subarray(8, 80)).trimEnd().length, 72 - 7);
  const third = writeSafetensors(new Map(), new Map([["framework", "pt"]]));
  assert.is(headerLength(third), 40);
  assert.is(new TextDecoder().decode(third.subarray(8)).trimEnd().length, 40 - 5);
});

test("whatever is written is read back, and writing it again gives the same bytes", () => {
  fc.assert(
    fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
      const bytes = writeSafetensors(tensors, metadata);
      const back = readSafetensors(bytes, "x");
      assert.is(headerLength(bytes) % 8, 0);
      assert.is(back.tensors.size, tensors.size);
      for (const [name, stored] of tensors) assert.equal(back.tensors.get(name), stored);
      assert.equal(new Map([...back.metadata].sort()), new Map([...metadata].sort()));
      assert.equal(writeSafetensors(back.tensors, back.metadata), bytes);
    }),
  );
});

test("the order in which tensors and metadata are given does not change the bytes", () => {
  fc.assert(
    fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
      const reversed = writeSafetensors(
        new Map([...tensors].reverse()),
        new Map([...metadata].reverse()),
      );
      assert.equal(reversed, writeSafetensors(tensors, metadata));
    }),
  );
});

test("tensors of one dtype lie in the order of their names' UTF-8 bytes", () => {
  fc.assert(
    fc.property(fc.uniqueArray(anyName, { maxLength: 8 }), (names) => {
      const bytes = writeSafetensors(new Map(names.map((name) => [name, tensor("U8", [1])])));
      const sorted = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
      assert.equal([...readSafetensors(bytes, "x").tensors.keys()], sorted.map(String));
    }),
  );
});

test("values come back whatever the alignment of their bytes in the file", () => {
  const values = Float32Array.of(0, -0, 1.5, -2.25, 65504, Number.POSITIVE_INFINITY);
  for (const dtype of ["F32", "F16", "BF16"] as const) {
    const stored = fromFloat32(values, [2, 3], dtype);
    for (let shift = 0; shift < 4; shift++) {
      const buffer = new Uint8Array(stored.bytes.length + shift);
      buffer.set(stored.bytes, shift);
      const found = toFloat32({ ...stored, bytes: buffer.subarray(shift) });
      const expected =
        dtype === "BF16" ? Float32Array.of(0, -0, 1.5, -2.25, 65536, Infinity) : values;
      assert.equal(found, expected);
    }
  }
  const doubles = Float64Array.of(1 / 3, 1e300);
  const stored: StoredTensor = { dtype: "F64", shape: [2], bytes: new Uint8Array(doubles.buffer) };
  assert.equal(toFloat32(stored), Float32Array.of(1 / 3, Infinity));
});

test("a tensor of whole numbers is listed but not computed with", () => {
  assert.throws(() => toFloat32(tensor("I64", [2])), /dtype I64 .* F32, F16, BF16 and F64/);
});

test("NaN payloads of 16-bit tensors survive reading and writing", () => {
  const bytes = new Uint8Array(Uint16Array.of(0x7c01, 0x7fff, 0xfe55).buffer);
  const file = writeSafetensors(new Map([["a", { dtype: "F16", shape: [3], bytes }]]));
  assert.equal(readSafetensors(file, "x").tensors.get("a")!.bytes, bytes);
});

test("a file in shared memory is read", () => {
  const file = writeSafetensors(new Map([["a", tensor("F32", [2])]]));
  const shared = new Uint8Array(new SharedArrayBuffer(file.length));
  shared.set(file);
  assert.equal(
    new Uint8Array(readSafetensors(shared, "x").tensors.get("a")!.bytes),
    tensor("F32", [2]).bytes,
  );
});

test("the writer refuses what no reader would take", () => {
  const write = (name: string, stored: StoredTensor) => () =>
    writeSafetensors(new Map([[name, stored]]));
  const good = tensor("F32", [2]);
  for (const attempt of [
    write("__metadata__", good),
    write("\ud800", good),
    write("a", { ...good, shape: [3] }),
    write("a", { ...good, shape: [-2] }),
    write("a", { ...good, shape: [0.5] }),
    write("a", { ...good, dtype: "F31" as Dtype }),
    write("a", { dtype: "F4", shape: [3], bytes: new Uint8Array(2) }),
  ]) {
    assert.throws(attempt, (error: unknown) => error instanceof UsageError);
  }
});

test.run();
