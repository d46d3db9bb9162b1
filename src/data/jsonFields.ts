// Reading tokenizer.json without believing it: small checks that turn `unknown` into what it must be, or say which
// field is wrong.
import { FormatError } from "../core/error.ts";
import { quote } from "../core/json-reader.ts";

/** The named fields of a JSON object, each yet unchecked. */
export type Fields<Name extends string> = { readonly [Key in Name]?: unknown };

/** No token has a larger id. */
export const LARGEST_ID = 0xffffff;

/** Throws a FormatError about tokenizer.json. */
export function fail(message: string): never {
  throw new FormatError(`tokenizer.json: ${message}`);
}

/** A value as it may stand in an error message: its JSON, cut to a bearable length. */
export function show(value: unknown): string {
  if (typeof value === "string") return quote(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** A name of a file as it may stand in an error message without quotes. */
export function bare(name: unknown): string {
  return quote(String(name)).slice(1, -1);
}

/** Checks that a value is an object; `where` names it in the error. */
export function asFields<Name extends string>(value: unknown, where: string): Fields<Name> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  return fail(`${where} must be an object.`);
}

/** Checks that a value is a token id; `where` names the token in the error. */
export function asId(value: unknown, where: string): number {
  const id = Number.isInteger(value) ? (value as number) : -1;
  if (id >= 0 && id <= LARGEST_ID) return id;
  return fail(`the id of ${where} is ${show(value)}; expected 0 to ${LARGEST_ID}.`);
}

/** Checks that a value is a list; `where` names it in the error. */
export function asList(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return fail(`${where} must be a list.`);
}

/** A component as tokenizer.json writes it: an object with a `type`. */
export type Component = { readonly type: string } & Fields<
  | "add_prefix_space"
  | "behavior"
  | "individual_digits"
  | "invert"
  | "normalizers"
  | "pattern"
  | "pretokenizers"
  | "processors"
  | "single"
  | "special_tokens"
  | "trim_offsets"
  | "use_regex"
>;

/** Checks that a value is a component; `where` names it in the error. */
export function asComponent(value: unknown, where: string): Component {
  const { type } = asFields<"type">(value, where);
  if (typeof type === "string") return value as Component;
  return fail(`${where} has no "type".`);
}
