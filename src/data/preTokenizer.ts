// The `pre_tokenizer` of a tokenizer.json: how text is cut into pre-tokens before the merges.
// Each component takes a piece and hands on its parts one by one, so that the parts of a long text are never all
// there at once; a Sequence runs its members one inside the other. Applied exactly are ByteLevel, Split (with the
// patterns of splitPatterns.ts or a plain string), Digits and Sequence; any other component is refused by its name
// rather than ignored.
import { FormatError } from "../core/error.ts";
import { classAt, NUMBER, widthAt } from "./characterClass.ts";
import { asComponent, asList, bare, type Component, show } from "./jsonFields.ts";
import { gpt2Pattern, type Scanner, splitScanner } from "./splitPatterns.ts";

/** Takes the parts of a text in order. */
export type Taker = (part: string) => void;

/** Cuts a text into pre-tokens. */
export type Splitter = (text: string, take: Taker) => void;

/** GPT-2's pre-tokenizer, which a newly trained tokenizer gets. */
export const gpt2PreTokenizer: Component = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
};

// More members than any tokenizer has; each is a function inside another.
const MAX_MEMBERS = 64;

function refuse(component: Component, found: string, expected: string): never {
  throw new FormatError(
    `tokenizer.json: the pre-tokenizer ${component.type} has ${found}, which lowrank cannot apply ` +
      `exactly; expected ${expected}.`,
  );
}

/** The next match at or after `from`: its beginning and end, or null if there is none. */
type Finder = (text: string, from: number) => readonly [number, number] | null;

function findString(wanted: string): Finder {
  return (text, from) => {
    const at = text.indexOf(wanted, from);
    return at < 0 ? null : [at, at + wanted.length];
  };
}

// The patterns match every character: one match begins where the last one ends.
function findPattern(scanner: Scanner): Finder {
  return (text, from) => (from < text.length ? [from, scanner.end(text, from)] : null);
}

function findDigits(most: number): Finder {
  return (text, from) => {
    for (let at = from; at < text.length; at += widthAt(text, at)) {
      if (classAt(text, at) !== NUMBER) continue;
      let end = at;
      for (let n = 0; n < most && end < text.length; n++) {
        if (classAt(text, end) !== NUMBER) break;
        end += widthAt(text, end);
      }
      return [at, end];
    }
    return null;
  };
}

// Cuts at every match; with keepGaps the text between two matches is a piece as well.
function cutter(find: Finder, keepMatches: boolean, keepGaps: boolean): Splitter {
  return (text, take) => {
    let end = 0;
    for (let match = find(text, 0); match !== null; match = find(text, end)) {
      if (keepGaps && match[0] > end) take(text.slice(end, match[0]));
      if (keepMatches) take(text.slice(match[0], match[1]));
      end = match[1];
    }
    if (keepGaps && end < text.length) take(text.slice(end));
  };
}

function byteLevel(component: Component): Splitter {
  const prefix = component.add_prefix_space !== false;
  const cut =
    component.use_regex === false
      ? undefined
      : cutter(findPattern(splitScanner(gpt2Pattern)!), true, false);
  return (text, take) => {
    const prefixed = prefix && !text.startsWith(" ") ? ` ${text}` : text;
    if (cut === undefined) take(prefixed);
    else cut(prefixed, take);
  };
}

function split(component: Component): Splitter {
  const { pattern, behavior } = component;
  const invert = component.invert === true;
  const source = pattern as { Regex?: unknown; String?: unknown } | null | undefined;
  let find: Finder | undefined;
  if (typeof source?.String === "string" && source.String !== "") {
    find = findString(source.String);
  } else if (typeof source?.Regex === "string") {
    const scanner = splitScanner(source.Regex);
    if (scanner !== undefined) find = findPattern(scanner);
  }
  if (find === undefined) {
    const found = `the pattern ${show(pattern)}`;
    return refuse(component, found, "a plain string or the pattern of GPT-2, Llama 3 or Qwen 2");
  }
  if (behavior === "Isolated") return cutter(find, true, true);
  if (behavior === "Removed") return cutter(find, invert, !invert);
  return refuse(component, `the behavior ${show(behavior)}`, '"Isolated" or "Removed"');
}

function digits(component: Component): Splitter {
  const most = component.individual_digits === true ? 1 : Number.POSITIVE_INFINITY;
  return cutter(findDigits(most), true, true);
}

const builders: ReadonlyMap<string, (component: Component) => Splitter> = new Map([
  ["ByteLevel", byteLevel],
  ["Split", split],
  ["Digits", digits],
]);

function flatten(component: Component): Component[] {
  if (component.type !== "Sequence") return [component];
  const members = asList(component.pretokenizers, "pre_tokenizer.pretokenizers");
  return members.flatMap((member) => flatten(asComponent(member, "pre_tokenizer")));
}

/**
 * Builds the splitter of a `pre_tokenizer`.
 * @throws FormatError that names the component if it is none of those listed at the head of this file
 */
export function buildPreTokenizer(component: Component): Splitter {
  const members = flatten(component);
  if (members.length > MAX_MEMBERS) {
    throw new FormatError(
      `tokenizer.json: there are ${members.length} pre-tokenizers; expected at most ${MAX_MEMBERS}.`,
    );
  }
  const splitters = members.map((member) => {
    const build = builders.get(member.type);
    if (build !== undefined) return build(member);
    throw new FormatError(
      `tokenizer.json: the pre-tokenizer ${bare(member.type)} is not supported; expected ` +
        `${[...builders.keys()].join(", ")} or a Sequence of them.`,
    );
  });
  const last = members.at(-1);
  if (last?.type !== "ByteLevel" || members.slice(0, -1).some((m) => m.type === "ByteLevel")) {
    throw new FormatError(
      `tokenizer.json: the pre-tokenizers are ${members.map((m) => m.type).join(", ") || "none"}; ` +
        "expected ByteLevel once and last, because only byte-level BPE is supported.",
    );
  }
  return splitters.reduceRight(
    (inner, outer) => (text, take) => outer(text, (part) => inner(part, take)),
  );
}
