// Whatever is given in the place of an argument, what comes back is a result or a LowrankError, never an error of the
// language: a program reads a sentence about what it gave, not about a name inside of the library.

import { test } from "uvu";
import * as assert from "uvu/assert";
import * as api from "../../src/index.ts";
import { type Call, functions } from "./calls.ts";
import { classes } from "./methods.ts";

const engine = await api.init({ deterministic: true, threads: 1 });

const others: readonly (readonly [string, unknown])[] = [
  ["undefined", undefined],
  ["null", null],
  ["5", 5],
  ["NaN", Number.NaN],
  ["1n", 1n],
  ["text", "x"],
  ["true", true],
  ["a symbol", Symbol("x")],
  ["[]", []],
  ["[5]", [5]],
  ["[null]", [null]],
  ["{}", {}],
  ["an object of no class", Object.create(null)],
  ["a function", () => {}],
  ["a Map", new Map()],
];

/** What a call gives at once, and what it gives when it is waited for or walked through. */
async function run({ run: fn }: Call, args: readonly unknown[]): Promise<void> {
  const result: unknown = await (fn as (...given: unknown[]) => unknown)(...args);
  // A schedule, a captured step: what they are given is not of the right kind either.
  if (typeof result === "function") result(null);
  const steps = result as { next?: () => { done?: boolean } } | null | undefined;
  if (typeof steps?.next !== "function") return;
  for (let i = 0; i < 3; i++) if (steps.next().done) return;
}

async function outcome(call: Call, args: readonly unknown[]): Promise<string | null> {
  try {
    await run(call, args);
  } catch (error) {
    if (error instanceof api.LowrankError) return null;
    return (error as Error).stack?.split("\n").slice(0, 4).join(" | ") ?? String(error);
  }
  return null;
}

async function expectSentences(name: string, call: Call): Promise<void> {
  const fitting = call.args();
  assert.is(await outcome(call, fitting), null, `${name} with arguments that fit`);
  const wrong: string[] = [];
  for (let i = 0; i < fitting.length; i++) {
    for (const [what, value] of others) {
      const found = await outcome(call, call.args().with(i, value));
      if (found !== null) wrong.push(`${name}, argument ${i} ${what}: ${found}`);
    }
    const found = await outcome(call, call.args().slice(0, i));
    if (found !== null) wrong.push(`${name} with ${i} arguments: ${found}`);
  }
  assert.equal(wrong, []);
}

/** Are these options, and no things of which several make one, such as the files of a model? */
const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** The same for each value within arguments that are plain objects. */
async function expectSentencesWithin(name: string, call: Call): Promise<void> {
  const wrong: string[] = [];
  for (const [i, given] of call.args().entries()) {
    if (!isPlain(given)) continue;
    for (const key of Object.keys(given)) {
      for (const [what, value] of others) {
        const args = call.args();
        const found = await outcome(call, args.with(i, { ...(args[i] as object), [key]: value }));
        if (found !== null) wrong.push(`${name}, argument ${i}, ${key} ${what}: ${found}`);
      }
    }
  }
  assert.equal(wrong, []);
}

const isClass = (value: unknown): boolean => /^class\b/.test(String(value));

test("every public function and class is in the table", () => {
  // Errors and these are never made by a program: `Dataset` and `Tensor` come from functions, the rest are bases.
  const apart = ["Dataset", "Engine", "Module", "Optimizer", "Tensor"];
  const names = Object.entries(api)
    .filter(([name, value]) => typeof value === "function" && !/Error$/.test(name))
    .map(([name]) => name)
    .filter((name) => !apart.includes(name));
  assert.equal(
    names.filter((name) => !Object.hasOwn(functions, name)),
    [],
  );
  const kinds = names.filter((name) => isClass(Reflect.get(api, name)));
  assert.equal(
    kinds.filter((name) => !Object.hasOwn(classes, name) && name !== "Transformer"),
    [],
  );
});

for (const [name, call] of Object.entries(functions)) {
  test(`${name} speaks in sentences`, () => expectSentences(name, call));
  test(`${name} speaks in sentences of its options`, () => expectSentencesWithin(name, call));
}

for (const [name, { make, args }] of Object.entries(classes)) {
  const kind = engine.run(make);
  const methods = new Map<string, Call>();
  for (let of = kind; of !== Object.prototype; of = Object.getPrototypeOf(of)) {
    for (const [key, { value, set }] of Object.entries(Object.getOwnPropertyDescriptors(of))) {
      if (key === "constructor" || methods.has(key)) continue;
      if (typeof value !== "function" && set === undefined) continue;
      const given = args[key] ?? (() => []);
      methods.set(key, {
        args: given,
        run: (...given: unknown[]) => {
          const instance = make();
          if (set !== undefined) return Reflect.set(instance, key, given[0]);
          return Reflect.get(instance, key).call(instance, ...given);
        },
      });
    }
  }
  for (const [key, call] of methods) {
    test(`${name}.${key} speaks in sentences`, async () => {
      await expectSentences(`${name}.${key}`, call);
      await expectSentencesWithin(`${name}.${key}`, call);
    });
  }
}

test.run();
