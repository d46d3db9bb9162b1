// Every public function that takes options refuses one that nobody knows. The declarations that are published say which
// functions these are, so that a new one cannot be forgotten here.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as api from "../../src/index.ts";
import { type Call, functions } from "./calls.ts";
import { classes, type Methods } from "./methods.ts";
import { adapter, data, model, text, tokenizer } from "./things.ts";

await api.init({ deterministic: true, threads: 1 });

const declarations = readFileSync(
  fileURLToPath(new URL("../../lib/api/index.d.ts", import.meta.url)),
  "utf8",
);

/** Types of parameters that are objects of options. */
const OPTIONS =
  /\w*Options\b|\bBatchRange\b|\bParameterGroup\b|\bGeneratorState\b|\bLoraShape\b|^\{/;

/** The places of the parameters that are options, of what stands between the parentheses. */
function placesOf(parameters: string): number[] {
  const types: string[] = [];
  let depth = 0;
  let from = 0;
  const text = `${parameters},`;
  for (let i = 0; i < text.length; i++) {
    if ("([{<".includes(text[i]!)) depth++;
    if (")]}".includes(text[i]!) || (text[i] === ">" && text[i - 1] !== "=")) depth--;
    if (text[i] !== "," || depth > 0) continue;
    types.push(text.slice(from, i).replace(/^[\s\w]*\??:\s*|^\s*\{[^}]*\}\??:\s*/, ""));
    from = i + 1;
  }
  return types.flatMap((type, place) => (OPTIONS.test(type) ? [place] : []));
}

/** All of `name` with places of options: functions, constructors under the name of their class, methods as Class.method. */
function declaredPlaces(): Map<string, number[]> {
  const found = new Map<string, number[]>();
  const note = (name: string, parameters: string): void => {
    const places = placesOf(parameters);
    if (places.length > 0) found.set(name, places);
  };
  let kind = "";
  for (const line of declarations.split("\n")) {
    const start = /^(export )?declare (?:abstract )?class (\w+)/.exec(line);
    // What is not exported is reached by nobody, or through another class.
    if (start !== null) kind = start[1] === undefined ? "" : start[2]!;
    const whole = /^export declare function (\w+)(?:<.*?>)?\((.*)\): [^)]*;$/.exec(line);
    if (whole !== null) note(whole[1]!, whole[2]!);
    const member = /^ {4}(?:static )?(\w+)(?:<.*?>)?\((.*)\)(?:: .*)?;$/.exec(line);
    if (member === null || kind === "") continue;
    const [, name = "", parameters = ""] = member;
    note(name === "constructor" ? kind : `${kind}.${name}`, parameters);
  }
  return found;
}

async function messageOf(run: () => unknown): Promise<string> {
  try {
    const result: unknown = await run();
    const steps = result as { next?: () => unknown } | undefined;
    if (typeof steps?.next === "function") steps.next();
  } catch (error) {
    assert.instance(error, api.UsageError);
    return (error as Error).message;
  }
  return "no error";
}

const methodsOf = new Map<string, Methods>([
  ...Object.entries(classes),
  ["Transformer", classes["PretrainedModel"]!],
  ["Module", classes["PretrainedModel"]!],
]);

/** The call of a public name, or undefined where the table has none. */
function callOf(name: string): Call | undefined {
  const known = functions[name];
  if (known !== undefined) return known;
  const [kind = "", method = ""] = name.split(".");
  const methods = methodsOf.get(kind);
  const args = methods?.args[method];
  if (methods === undefined || args === undefined) return undefined;
  return {
    args,
    run: (...given: unknown[]) => {
      const instance = methods.make();
      return Reflect.get(instance, method).call(instance, ...given);
    },
  };
}

/** Errors take options of the language, and datasets are made by functions that check them. */
const apart = /Error$|^Dataset$/;
const declared = new Map([...declaredPlaces()].filter(([name]) => !apart.test(name)));

test("the declarations name the functions that take options", () => {
  assert.ok(declared.size > 50, `${declared.size}: ${[...declared.keys()].join(" ")}`);
  for (const name of ["Trainer", "AdamW", "generate", "loadText", "init", "Tensor.sum"]) {
    assert.ok(declared.has(name), name);
  }
});

for (const [name, places] of declared) {
  test(`${name} refuses an option that nobody knows`, async () => {
    const call = callOf(name);
    if (call === undefined) throw new Error(`${name} is missing in the tables of calls`);
    for (const place of places) {
      const args = [...call.args()];
      args[place] = { ...(args[place] as object | undefined), nobodyKnows: 1 };
      const message = await messageOf(() =>
        (call.run as (...given: unknown[]) => unknown)(...args),
      );
      assert.match(message, /^"nobodyKnows" is not an option of .+; did you mean \w+\?/, name);
    }
  });
}

test("the nearest name is found in the spellings of others", async () => {
  const target = adapter();
  const held = data();
  const asked: readonly (readonly [() => unknown, string, string])[] = [
    [() => new api.Trainer(target.model, held, { learningRate: 1 } as never), "learningRate", "lr"],
    [
      () => new api.Trainer(target.model, held, { steps: 1, max_grad_norm: 1 } as never),
      "max_grad_norm",
      "maxGradNorm",
    ],
    [
      () => new api.AdamW(target.parameters(), { learning_rate: 1 } as never),
      "learning_rate",
      "lr",
    ],
    [
      () => new api.SGD([{ params: target.parameters(), weight_decay: 1 }] as never),
      "weight_decay",
      "weightDecay",
    ],
    [
      () => api.generate(model(), [1], { max_new_tokens: 3 } as never),
      "max_new_tokens",
      "maxNewTokens",
    ],
    [() => api.generate(model(), [1], { temprature: 0 } as never), "temprature", "temperature"],
    [() => api.loadText(model(), { text, batch_size: 2 } as never), "batch_size", "batchSize"],
    [() => api.injectLora(model(), { lora_alpha: 8 } as never), "lora_alpha", "loraAlpha"],
    [() => api.injectLora(model(), {}, { name: "a" } as never), "name", "adapterName"],
    [() => api.loadModel({}, { nam: "x" } as never), "nam", "name"],
    [() => api.saveModel(model(), "x", { overwritten: true } as never), "overwritten", "overwrite"],
    [() => api.trainTokenizer(text, { vocab_size: 300 } as never), "vocab_size", "vocabSize"],
    [
      () => tokenizer.encode("a", { add_special_tokens: true } as never),
      "add_special_tokens",
      "addSpecialTokens",
    ],
    [() => api.zeros([2], { requires_grad: true } as never), "requires_grad", "requiresGrad"],
    [() => api.Engine.create({ thread: 1 } as never), "thread", "threads"],
  ];
  for (const [run, wrong, right] of asked) {
    const message = await messageOf(run);
    assert.ok(message.startsWith(`"${wrong}" is not an option of `), message);
    assert.ok(message.includes(`did you mean ${right}?`), message);
  }
});

test.run();
