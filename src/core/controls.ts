// Characters of a stranger's text that steer: escape and control codes move a terminal's cursor, set its title or hide
// what follows; separators and overrides of direction make a line look like another one. Line ends and tabs are text.

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const STEERING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** The text with steering characters as JSON escapes them (`\u001b`): nothing is lost, nothing steers. */
export function escapeControls(text: string): string {
  return text.replace(STEERING, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The text with U+FFFD for each steering character, which keeps its width. */
export function coverControls(text: string): string {
  return text.replace(STEERING, "\ufffd");
}
