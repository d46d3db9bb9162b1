// The `pre_tokenizer` of a tokenizer.json: how text is cut into pre-tokens before the merges.
// Each component is a function from pieces to pieces; a Sequence runs them in order. Applied exactly are
// ByteLevel, Split (with the patterns of splitPatterns.ts or a plain string), Digits and Sequence;
// any other component is refused by its name rather than ignored.
import { FormatError } from "../core/error.ts";
import { asComponent, asList, type Component } from "./jsonFields.ts";
import { gpt2Pattern, splitPattern } from "./splitPatterns.ts";

/** Cuts a text into pre-tokens. */
export type Splitter = (text: string) => string[];

/** GPT-2's pre-tokenizer, which a newly trained tokenizer gets. */
export const gpt2PreTokenizer: Component = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
};

function refuse(component: Component, found: string, expected: string): never {
  throw new FormatError(
    `tokenizer.json: the pre-tokenizer ${component.type} has ${found}, which lowrank cannot apply ` +
      `exactly; expected ${expected}.`,
  );
}

// Cuts at every match; with keepGaps the text between two matches is a piece as well.
function cut(text: string, pattern: RegExp, keepMatches: boolean, keepGaps: boolean): string[] {
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (keepGaps && match.index > end) pieces.push(text.slice(end, match.index));
    if (keepMatches && match[0] !== "") pieces.push(match[0]);
    end = match.index + match[0].length;
  }
  if (keepGaps && end < text.length) pieces.push(text.slice(end));
  return pieces;
}

function byteLevel(component: Component): Splitter {
  const prefix = component.add_prefix_space !== false;
  const pattern = component.use_regex === false ? undefined : splitPattern(gpt2Pattern);
  return (text) => {
    const prefixed = prefix && !text.startsWith(" ") ? ` ${text}` : text;
    // GPT-2's pattern matches every character, so there are no gaps to keep.
    return pattern === undefined ? [prefixed] : (prefixed.match(pattern) ?? []);
  };
}

function split(component: Component): Splitter {
  const { pattern, behavior } = component;
  const invert = component.invert === true;
  const source = pattern as { Regex?: unknown; String?: unknown } | null | undefined;
  let expression: RegExp | undefined;
  if (typeof source?.String === "string" && source.String !== "") {
    expression = new RegExp(source.String.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"), "g");
  } else if (typeof source?.Regex === "string") {
    expression = splitPattern(source.Regex);
  }
  if (expression === undefined) {
    const found = `the pattern ${JSON.stringify(pattern)}`;
    return refuse(component, found, "a plain string or the pattern of GPT-2, Llama 3 or Qwen 2");
  }
  const known = expression;
  if (behavior === "Isolated") return (text) => cut(text, known, true, true);
  if (behavior === "Removed") return (text) => cut(text, known, invert, !invert);
  return refuse(component, `the behavior ${JSON.stringify(behavior)}`, '"Isolated" or "Removed"');
}

function digits(component: Component): Splitter {
  // No literal: its table of characters would be made when the file is parsed.
  const pattern = new RegExp(component.individual_digits === true ? "\\p{N}" : "\\p{N}+", "gu");
  return (text) => cut(text, pattern, true, true);
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
  const splitters = members.map((member) => {
    const build = builders.get(member.type);
    if (build !== undefined) return build(member);
    throw new FormatError(
      `tokenizer.json: the pre-tokenizer ${member.type} is not supported; expected ` +
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
  if (splitters.length === 1) return splitters[0]!;
  return (text) => {
    let pieces = [text];
    for (const splitter of splitters) pieces = pieces.flatMap((piece) => splitter(piece));
    return pieces;
  };
}
