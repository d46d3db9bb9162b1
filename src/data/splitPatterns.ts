// The regular expressions by which byte-level BPE cuts text into pre-tokens; merges never cross a cut.
// tokenizer.json writes them for Oniguruma, whose \s is Unicode's White_Space (with U+0085, without U+FEFF, the
// reverse of JavaScript's \s) and whose (?i:...) JavaScript learned only in 2025. So the patterns are not run as
// they stand: each known one has its exact counterpart here, and an unknown one is refused.
// \p{L} and \p{N} are those of the host's Unicode version.

const space = "\\p{White_Space}";
const notSpace = "\\P{White_Space}";

// 's 't 're 've 'm 'll 'd in either case; "ſ" (U+017F) is a lower-case "s" to Unicode's case folding.
const contractions = "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const spaces = `${space}*[\\r\\n]+|${space}+(?!${notSpace})|${space}+`;
const words = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const marks = ` ?[^${space}\\p{L}\\p{N}]+`;

/** GPT-2's pattern, which the ByteLevel pre-tokenizer applies when `use_regex` is set. */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const counterparts: ReadonlyMap<string, string> = new Map([
  [
    gpt2Pattern,
    `'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+|${marks}|${space}+(?!${notSpace})|${space}+`,
  ],
  // Llama 3
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    `${contractions}|${words}|\\p{N}{1,3}|${marks}[\\r\\n]*|${spaces}`,
  ],
  // Qwen 2
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    `${contractions}|${words}|\\p{N}|${marks}[\\r\\n]*|${spaces}`,
  ],
]);

/**
 * The JavaScript expression that cuts as a known pattern, as tokenizer.json spells it, does; undefined for others. It is
 * made when asked for: the classes of Unicode take milliseconds, which an import should not.
 */
export function splitPattern(spelled: string): RegExp | undefined {
  const source = counterparts.get(spelled);
  return source === undefined ? undefined : new RegExp(source, "gu");
}
