// Typed, checked access to the members of a JSON object of a stranger. A member that is missing or null
// takes the default; one of the wrong kind or out of range is a FormatError that names file and member.
import { FormatError } from "../core/error.ts";
import { formatJson, JsonNumber, type JsonObject, JsonText, type JsonTree } from "./json.ts";

/** The range of a number, and what stands in for a missing one; without `fallback` it is required. */
export interface NumberRule<D> {
  readonly min?: number;
  readonly max?: number;
  readonly fallback?: D;
}

export class Fields {
  readonly object: JsonObject;
  readonly file: string;

  constructor(object: JsonObject, file: string) {
    this.object = object;
    this.file = file;
  }

  /** The value, or null if it is missing. One that was left as a text is read now. */
  get(key: string): JsonTree {
    const value = this.object.get(key) ?? null;
    return value instanceof JsonText ? value.value() : value;
  }

  /** Whether the member says something: it is not missing, null, false, empty or 0. */
  isSet(key: string): boolean {
    const value = this.object.get(key) ?? null;
    if (value instanceof JsonText) return true;
    if (value instanceof JsonNumber) return value.value !== 0;
    if (value instanceof Map) return value.size > 0;
    return Array.isArray(value) ? value.length > 0 : Boolean(value);
  }

  wrong(key: string, expected: string): never {
    const value = this.object.get(key) ?? null;
    const text = value instanceof JsonText ? value.text(200) : formatJson(value);
    const found = value === null ? "missing" : text.replace(/\s+/g, " ").slice(0, 80);
    throw new FormatError(
      `${this.file}: ${JSON.stringify(key)} is ${found}, but must be ${expected}.`,
    );
  }

  number<D = never>(key: string, rule: NumberRule<D> = {}): number | D {
    const value = this.get(key);
    if (value === null && rule.fallback !== undefined) return rule.fallback;
    const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = rule;
    if (value instanceof JsonNumber && value.value >= min && value.value <= max) return value.value;
    return this.wrong(key, `a number${range(rule)}`);
  }

  integer<D = never>(key: string, rule: NumberRule<D> = {}): number | D {
    const value = this.get(key);
    if (value === null && rule.fallback !== undefined) return rule.fallback;
    const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = rule;
    const number = value instanceof JsonNumber ? value.value : Number.NaN;
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    return this.wrong(key, `a whole number${range(rule)}`);
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.get(key);
    if (value === null) return fallback;
    return typeof value === "boolean" ? value : this.wrong(key, "true or false");
  }

  /** A string, one of `choices` if they are given. */
  string<D = never>(
    key: string,
    rule: { fallback?: D; choices?: readonly string[] } = {},
  ): string | D {
    const value = this.get(key);
    if (value === null && rule.fallback !== undefined) return rule.fallback;
    const { choices } = rule;
    if (typeof value === "string" && (choices?.includes(value) ?? true)) return value;
    const listed = choices?.map((choice) => JSON.stringify(choice)).join(", ");
    return this.wrong(key, listed === undefined ? "a string" : `one of ${listed}`);
  }

  /** A nested object; an empty one if it is missing. */
  nested(key: string): Fields {
    const value = this.get(key);
    if (value !== null && !(value instanceof Map)) return this.wrong(key, "an object");
    return new Fields(value ?? new Map(), `${this.file}, ${JSON.stringify(key)}`);
  }
}

function range({ min, max }: NumberRule<unknown>): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}
