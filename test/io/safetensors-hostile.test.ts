import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { readSafetensors, toFloat32, writeSafetensors } from "../../src/io/safetensors.ts";

/** A file with this header text, the announced length (its true one by default) and this much data. */
function file(header: string | Uint8Array, dataLength = 0, announced?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (
  name: string,
  begin: number,
  end: number,
  dtype = "U8",
  shape = `[${end - begin}]`,
) => `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const shaped = (dtype: string, shape: string, bytes = 0) =>
  file(`{${entry("t", 0, bytes, dtype, shape)}}`, bytes);
const many = (count: number) =>
  `{${Array.from({ length: count }, (_, i) => entry(`t${i}`, 0, 8)).join()}}`;

const refused: [string, Uint8Array, RegExp][] = [
  ["an empty file", new Uint8Array(0), /too small .* 0 bytes/],
  ["a file of 7 bytes", new Uint8Array(7), /too small .* 7 bytes/],
  [
    "a header length of 2^63",
    file("{}", 0, 2n ** 63n),
    /header of 9223372036854775808 bytes, too large/,
  ],
  ["a header length of 0xFFFFFF000000003C", file("{}", 0, 0xffffff000000003cn), /too large/],
  ["a header above 100,000,000 bytes", file("{}", 0, 100_000_001n), /too large: at most 100000000/],
  [
    "a header length beyond the file",
    file("{}", 0, 1000n),
    /invalid header length: .* 1000 .* 2 follow/,
  ],
  ["a header of length 0", file(""), /the end/],
  ["the byte 0xFF as header", file(Uint8Array.of(0xff)), /not valid UTF-8/],
  ["a brace alone", file("{"), /at character 1/],
  ["an array as header", file("[]"), /expected "\{"/],
  ["text after the object", file("{}x"), /text after the end/],
  ["a byte-order mark", file("\ufeff{}"), /expected "\{"/],
  ["a number in the metadata", file('{"__metadata__":{"a":1}}'), /"a" must be a string/],
  ["null in the metadata", file('{"__metadata__":{"a":null}}'), /"a" must be a string/],
  ["an object in the metadata", file('{"__metadata__":{"a":{}}}'), /"a" must be a string/],
  ["null as the metadata", file('{"__metadata__":null}'), /must be an object/],
  ["the metadata twice", file('{"__metadata__":{},"__metadata__":{}}'), /appears twice/],
  ["a metadata key twice", file('{"__metadata__":{"a":"","a":""}}'), /"a" appears twice/],
  [
    "ten tensors over the same bytes",
    file(many(10), 8),
    /up to "t1" the tensors claim 16 bytes, but only 8/,
  ],
  [
    "an overlap that the total hides",
    file(`{${entry("a", 0, 4)},${entry("b", 2, 4)}}`, 8),
    /"b" begins at byte 2 .* ends at 4.*overlap/,
  ],
  ["a hole", file(`{${entry("a", 0, 4)},${entry("b", 5, 8)}}`, 8), /hole/],
  ["a first tensor that begins late", file(`{${entry("a", 1, 4)}}`, 4), /begins at byte 1/],
  ["reversed offsets", file(`{${entry("a", 4, 0, "U8", "[4]")}}`, 4), /data_offsets/],
  ["an end beyond the file", file(`{${entry("a", 0, 9)}}`, 8), /claim 9 bytes, but only 8/],
  [
    "an end before the end of the file",
    file(`{${entry("a", 0, 7)}}`, 8),
    /end at byte 7 .* 8 bytes follow/,
  ],
  ["text appended to a file without tensors", file("{}", 5), /5 bytes follow/],
  [
    "a size that needs more than its bytes",
    file(`{${entry("a", 0, 4, "F32", "[2]")}}`, 4),
    /needs 8 bytes but has 4/,
  ],
  ["a dimension of 2^64 - 2", shaped("F32", "[2,18446744073709551614]"), /18446744073709551614/],
  ["a dimension of 2^63 - 1", shaped("F32", "[2,9223372036854775807]"), /9223372036854775807/],
  ["30 dimensions of 2^10", shaped("U8", `[${Array(30).fill(1024)}]`), /overflows/],
  ["a product of 2^53", shaped("U8", "[67108864,134217728]"), /overflows/],
  ["1e3 as a dimension", shaped("U8", "[1e3]", 1000), /"1e3" where a whole number/],
  ["1.5 as a dimension", shaped("U8", "[1.5]"), /"1.5" where a whole number/],
  ["1.0 as a dimension", shaped("U8", "[1.0]", 1), /"1.0" where a whole number/],
  ["-1 as a dimension", shaped("U8", "[-1]"), /"-1" where a whole number/],
  ["-0 as a dimension", shaped("U8", "[-0]"), /"-0" where a whole number/],
  ["a string as a dimension", shaped("U8", '["2"]', 2), /expected a number/],
  ["a number as shape", shaped("U8", "2", 2), /expected "\["/],
  ["three F4 elements", shaped("F4", "[3]", 2), /misaligned/],
  ["two F6 elements", shaped("F6_E2M3", "[2]", 2), /misaligned/],
  ["a duplicate name", file(`{${entry("a", 0, 4)},${entry("a", 4, 8)}}`, 8), /"a" appears twice/],
  [
    "a duplicate name in another spelling",
    file(`{${entry("a", 0, 4)},${entry("\\u0061", 4, 8)}}`, 8),
    /"a" appears twice/,
  ],
  ["a name with half a surrogate pair", file(`{${entry("\\ud800", 0, 4)}}`, 4), /surrogate/],
  ["an unknown dtype", shaped("F31", "[0]"), /unknown dtype "F31"/],
  ["an inherited property as dtype", shaped("toString", "[0]"), /unknown dtype "toString"/],
  ["a missing key", file('{"a":{"dtype":"U8","shape":[0]}}'), /"a" lacks/],
  ["an extra key", file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}'), /"x"/],
  [
    "a key twice",
    file('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    /"dtype" twice/,
  ],
  [
    "one offset",
    file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}}'),
    /pair of data_offsets/,
  ],
  [
    "three offsets",
    file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}}'),
    /pair of data_offsets/,
  ],
  ["null as a tensor", file('{"a":null}'), /"a" must be an object/],
];

for (const [what, bytes, message] of refused) {
  test(`${what} is refused, with the file's name`, () => {
    assert.throws(
      () => readSafetensors(bytes, "evil.safetensors"),
      (error: unknown) =>
        error instanceof FormatError &&
        error.message.includes("evil.safetensors") &&
        message.test(error.message),
    );
  });
}

test("a file that lacks its last two bytes, or has two more, is refused", () => {
  const whole = writeSafetensors(
    new Map([["a", { dtype: "F32", shape: [3], bytes: new Uint8Array(12) }]]),
  );
  const longer = new Uint8Array(whole.length + 2);
  longer.set(whole);
  for (const bytes of [whole.subarray(0, -2), longer]) {
    assert.throws(
      () => readSafetensors(bytes, "x"),
      (error: unknown) => error instanceof FormatError,
    );
  }
});

test("odd names are plain strings", () => {
  const names = ["__proto__", "constructor", "", "toString"];
  const header = `{${names.map((name, i) => entry(name, i, i + 1)).join()}}`;
  assert.equal([...readSafetensors(file(header, names.length), "x").tensors.keys()], names);
});

test("empty tensors, scalars, no tensors and white space around the header are accepted", () => {
  const header = ` \n\t{${entry("none", 0, 0)},\r\n${entry("scalar", 0, 4, "F32", "[]")} } \n `;
  const { tensors } = readSafetensors(file(header, 4), "x");
  assert.equal(tensors.get("none")!.shape, [0]);
  assert.equal(tensors.get("scalar")!.shape, []);
  assert.is(readSafetensors(file("{}      "), "x").tensors.size, 0);
});

test("a million tensors over the same bytes are refused at the second one", () => {
  const bytes = file(many(1_000_000), 8);
  const started = performance.now();
  assert.throws(() => readSafetensors(bytes, "x"), /up to "t1" /);
  // Only the decoding of 60 MB of text remains; parsing all of it would take many times as long.
  assert.ok(performance.now() - started < 5000);
});

const valid = writeSafetensors(
  new Map([
    ["w", { dtype: "F32", shape: [2, 2], bytes: new Uint8Array(16) }],
    ["h", { dtype: "F16", shape: [3], bytes: new Uint8Array(6) }],
    ["n", { dtype: "U8", shape: [0], bytes: new Uint8Array(0) }],
  ]),
  new Map([["format", "pt"]]),
);

function readsOrRefuses(bytes: Uint8Array): void {
  try {
    for (const stored of readSafetensors(bytes, "x").tensors.values()) {
      if (stored.dtype !== "U8") toFloat32(stored);
    }
  } catch (error) {
    assert.instance(error, FormatError);
  }
}

test("random bytes give a result or a FormatError", () => {
  const random = fc.uint8Array({ maxLength: 200 });
  const framed = fc
    .tuple(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 20 }))
    .map(([header, data]) => file(header, data));
  fc.assert(fc.property(fc.oneof(random, framed), readsOrRefuses), { numRuns: 3000 });
});

test("a valid file with any bytes changed, cut or doubled gives a result or a FormatError", () => {
  const edit = fc.record({
    at: fc.nat({ max: valid.length - 1 }),
    byte: fc.oneof(
      fc.nat({ max: 255 }),
      fc.constantFrom(...new TextEncoder().encode('{}[]",:0129e.-\\')),
    ),
  });
  const mutated = fc
    .tuple(
      fc.array(edit, { maxLength: 6 }),
      fc.nat({ max: valid.length }),
      fc.nat({ max: valid.length }),
    )
    .map(([edits, from, to]) => {
      const copy = valid.slice();
      for (const { at, byte } of edits) copy[at] = byte;
      return new Uint8Array([...copy.subarray(0, from), ...copy.subarray(Math.min(from, to))]);
    });
  fc.assert(fc.property(mutated, readsOrRefuses), { numRuns: 5000 });
});

test("cutting a valid file at any byte is refused", () => {
  for (let length = 0; length < valid.length; length++) {
    assert.throws(
      () => readSafetensors(valid.subarray(0, length), "x"),
      (error: unknown) => error instanceof FormatError,
    );
  }
});

test.run();
