import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "../../src/io/half.ts";

interface Format {
  name: string;
  exponentBits: number;
  mantissaBits: number;
  widen: (source: Uint16Array) => Float32Array;
  narrow: (source: Float32Array) => Uint16Array;
}

const formats: Format[] = [
  {
    name: "float16",
    exponentBits: 5,
    mantissaBits: 10,
    widen: float16ToFloat32,
    narrow: float32ToFloat16,
  },
  {
    name: "bfloat16",
    exponentBits: 8,
    mantissaBits: 7,
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
  },
];

// The definition of IEEE 754, in float64: (-1)^s * 1.m * 2^(e - bias), 0.m * 2^(1 - bias) for e = 0.
function valueOfPattern(pattern: number, { exponentBits, mantissaBits }: Format): number {
  const sign = pattern & 0x8000 ? -1 : 1;
  const exponent = (pattern & 0x7fff) >> mantissaBits;
  const fraction = (pattern & ((1 << mantissaBits) - 1)) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0
    ? sign * fraction * 2 ** (1 - bias)
    : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const all = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern);

// Rounding by search: of the two finite neighbours the nearer one, of two equally near the even pattern;
// the place after the largest finite number counts as one more step and becomes infinity.
function nearest(value: number, format: Format): number {
  const infinity = (2 ** format.exponentBits - 1) << format.mantissaBits;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  const at = (pattern: number) =>
    pattern === infinity ? 2 ** (2 ** (format.exponentBits - 1)) : valueOfPattern(pattern, format);
  let low = 0;
  let high = infinity;
  if (magnitude >= at(infinity)) return sign | infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(middle) <= magnitude) low = middle;
    else high = middle;
  }
  const below = magnitude - at(low);
  const above = at(high) - magnitude;
  if (below === above) return sign | (low % 2 === 0 ? low : high);
  return sign | (below < above ? low : high);
}

for (const format of formats) {
  const { name, widen, narrow } = format;

  test(`every ${name} pattern widens to the value that the definition gives`, () => {
    const wide = widen(all);
    for (const pattern of all) {
      if (!Object.is(wide[pattern], valueOfPattern(pattern, format))) {
        assert.unreachable(
          `pattern ${pattern}: ${wide[pattern]}, not ${valueOfPattern(pattern, format)}`,
        );
      }
    }
  });

  test(`every ${name} pattern survives the way to float32 and back, NaN as NaN`, () => {
    const back = narrow(widen(all));
    const again = widen(back);
    for (const pattern of all) {
      const same = Number.isNaN(valueOfPattern(pattern, format))
        ? Number.isNaN(again[pattern])
        : back[pattern] === pattern;
      if (!same) assert.unreachable(`pattern ${pattern} comes back as ${back[pattern]}`);
    }
  });

  test(`narrowing to ${name} rounds every midpoint to even and its neighbours to the nearer side`, () => {
    const infinity = (2 ** format.exponentBits - 1) << format.mantissaBits;
    const values: number[] = [];
    const probe = new Float32Array(1);
    const bits = new Uint32Array(probe.buffer);
    for (let pattern = 0; pattern < infinity; pattern++) {
      const next =
        pattern + 1 === infinity
          ? 2 ** (2 ** (format.exponentBits - 1))
          : valueOfPattern(pattern + 1, format);
      // Between neighbours of 11 or 8 significant bits a float32 holds the midpoint exactly.
      probe[0] = (valueOfPattern(pattern, format) + next) / 2;
      const middle = bits[0]!;
      for (const neighbour of [middle - 1, middle, middle + 1]) {
        bits[0] = neighbour;
        values.push(probe[0]!, -probe[0]!);
      }
    }
    const found = narrow(Float32Array.from(values));
    for (const [i, value] of values.entries()) {
      if (found[i] !== nearest(value, format)) {
        assert.unreachable(`${value} becomes ${found[i]}, not ${nearest(value, format)}`);
      }
    }
  });

  test(`narrowing to ${name} rounds arbitrary float32 numbers to the nearest`, () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) => {
        assert.is(narrow(Float32Array.of(value))[0], nearest(value, format));
      }),
      { numRuns: 5000 },
    );
  });
}

test("float16 becomes infinite from 65520 on, not before", () => {
  assert.equal(
    [...float32ToFloat16(Float32Array.of(65519.996, 65520, -1e9))],
    [0x7bff, 0x7c00, 0xfc00],
  );
});

test("NaN of any payload narrows to a quiet NaN", () => {
  const payloads = new Float32Array(Uint32Array.of(0x7f800001, 0x7fc00000, 0x7fffffff).buffer);
  assert.equal([...float32ToBfloat16(payloads)], [0x7fc0, 0x7fc0, 0x7fc0]);
  assert.equal([...float32ToFloat16(payloads)], [0x7e00, 0x7e00, 0x7e00]);
});

test.run();
