// What a caller gave, in the words of an error message, and the checks of arguments that ask no more than a kind.

import { UsageError } from "./error.ts";
import { isMap, typedArrayOf } from "./realm.ts";

/** A value as a sentence names it: `null`, `5`, `"a"`, `an array`, `a Tensor`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  const name = typeof maker === "function" ? maker.name : "";
  if (name === "" || name === "Object") return "an object";
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

function shortened(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** The error for a value of the wrong kind; `advice` is a further sentence. */
export function wrongKind(what: string, value: unknown, expected: string, advice = ""): UsageError {
  const more = advice === "" ? "" : ` ${advice}`;
  return new UsageError(`${what} is ${kindOf(value)}, but must be ${expected}.${more}`);
}

/** Throws unless the value is an instance of the class, which errors call `expected`. */
export function expectInstance(
  what: string,
  value: unknown,
  // biome-ignore lint/complexity/noBannedTypes: any class will do
  kind: Function & { readonly prototype: unknown },
  expected: string,
  advice = "",
): void {
  if (!(value instanceof kind)) throw wrongKind(what, value, expected, advice);
}

/** Throws unless the value is a function. */
export function expectFunction(what: string, value: unknown): void {
  if (typeof value !== "function") throw wrongKind(what, value, "a function");
}

/** Throws unless the value is a text. */
export function expectText(what: string, value: unknown, advice = ""): void {
  if (typeof value !== "string") throw wrongKind(what, value, "a text", advice);
}

/** Throws unless the value is an array of texts. */
export function expectTexts(what: string, value: unknown): void {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return;
  throw wrongKind(what, value, "an array of texts");
}

/** Throws unless the value is a number; its range is another question. */
export function expectNumber(what: string, value: unknown): void {
  if (typeof value !== "number") throw wrongKind(what, value, "a number");
}

/** Throws unless the value is true or false. */
export function expectBoolean(what: string, value: unknown): void {
  if (typeof value !== "boolean") throw wrongKind(what, value, "true or false");
}

/** Throws unless the value is an object and no array. */
export function expectObject(what: string, value: unknown, expected = "an object"): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongKind(what, value, expected);
  }
}

/** Throws unless the value is a typed array of this name, of whatever realm. */
export function expectTyped(
  what: string,
  value: unknown,
  name: "Uint8Array" | "Float32Array" | "Int32Array",
): void {
  if (typedArrayOf(value) === name) return;
  throw wrongKind(
    what,
    value,
    name === "Uint8Array" ? "bytes, a Uint8Array" : `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`,
  );
}

/** Throws unless the value is bytes. */
export function expectBytes(what: string, value: unknown): void {
  expectTyped(what, value, "Uint8Array");
}

/** Throws unless the value is a Map, of whatever realm. */
export function expectMap(what: string, value: unknown, expected: string): void {
  if (!isMap(value)) throw wrongKind(what, value, expected);
}

/** Is it a list of numbers: an array of nothing but numbers, or a typed array of them? */
export function isNumberList(value: unknown): value is ArrayLike<number> {
  if (ArrayBuffer.isView(value))
    return typeof (value as { [0]?: unknown })[0] !== "bigint" && "length" in value;
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}

/** Can the value be walked through with for ... of, and is it more than a text? */
export function isIterable(value: unknown): value is Iterable<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { [Symbol.iterator]?: unknown })[Symbol.iterator] === "function"
  );
}
