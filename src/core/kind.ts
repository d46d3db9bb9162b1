// What a caller gave, in the words of an error message.

/** A value as a sentence names it: `null`, `the number 5`, `the text "a"`, `an array`, `a Tensor`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    return value === "" ? "an empty text" : `the text ${JSON.stringify(shortened(value))}`;
  }
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
