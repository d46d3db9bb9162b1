import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { binaryOf } from "../../src/core/compile.ts";
import { decompress } from "../../src/core/decompress.ts";

type MakePatch = (base: Uint8Array, target: Uint8Array) => Uint8Array;

// The script lies beside dist/, where this file runs.
const { makePatch } = (await import(
  new URL("../../../scripts/patch.mjs", import.meta.url).href
)) as { makePatch: MakePatch };

const builds = [
  { build: "baseline", file: "core.wasm" },
  { build: "relaxed", file: "core.relaxed.wasm" },
] as const;

for (const { build, file } of builds) {
  test(`the ${build} build in the package is dist/${file}, byte for byte`, () => {
    const bytes = readFileSync(new URL(`../../${file}`, import.meta.url));
    assert.is(Buffer.compare(binaryOf(build), bytes), 0);
  });
}

const { toPrintable } = (await import(
  new URL("../../../scripts/printable.mjs", import.meta.url).href
)) as { toPrintable: (bytes: Uint8Array) => string };

function applyPatch(base: Uint8Array, patch: Uint8Array): Uint8Array {
  return decompress(toPrintable(base), toPrintable(patch));
}

// Few different bytes, so that pieces of the base occur again.
const bytes = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 400 });

test("a patch of any bytes makes any others of them", () => {
  fc.assert(
    fc.property(bytes, bytes, (base, target) => {
      const from = Buffer.from(base);
      const made = applyPatch(from, makePatch(from, Buffer.from(target)));
      assert.equal([...made], target);
    }),
  );
});

test("a patch may take pieces in any order, and more than once", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 40, maxLength: 40 }),
      fc.array(fc.tuple(fc.nat(30), fc.nat(40), fc.array(fc.nat(255), { maxLength: 3 }))),
      (base, pieces) => {
        const from = Buffer.from(base);
        const target = Buffer.concat(
          pieces.flatMap(([start, end, fresh]) => [from.subarray(start, end), Buffer.from(fresh)]),
        );
        assert.is(Buffer.compare(applyPatch(from, makePatch(from, target)), target), 0);
      },
    ),
  );
});

test.run();
