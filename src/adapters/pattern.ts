// Python's regular expressions, as far as adapter configs use them, over the names of modules.
// Only the question "does it match, and up to where" is asked, so a pattern is run without backtracking:
// each node maps the set of places where a match may begin to the set of places where it may end (a
// position-set form of K. Thompson, "Regular expression search algorithm", 1968). The work is at most
// nodes * length^2, whatever the pattern, and Python's meaning does not depend on the host's RegExp. All patterns of a
// config share a number of steps.
// What cannot be had that way (backreferences, atomic groups) is refused by name, and so are quantifiers
// within quantifiers, which run away in the tools that would read the config next.
import { UsageError } from "../core/error.ts";
import { optionName } from "../core/wording.ts";
import { type Node, PatternParser } from "./pattern-parser.ts";

/** The longest pattern that is accepted, in characters. */
export const MAX_PATTERN = 1000;

/** Steps that all patterns of a config may take together, about a second. Those of real adapters take thousands. */
const MAX_STEPS = 30_000_000;

/** The options whose values are patterns, but the last. */
const PATTERNS = ["targetModules", "excludeModules", "layersPattern", "rankPattern"] as const;

/** What matching may cost: many patterns, each of them cheap, run away as well. */
export class Steps {
  #left = MAX_STEPS;

  /** Takes account of work; a UsageError when there has been too much. */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left >= 0) return;
    throw new UsageError(
      `The patterns of ${PATTERNS.map(optionName).join(", ")} and ${optionName("alphaPattern")} take more than ` +
        `${MAX_STEPS / 1e6} million steps on the modules of this model. Give fewer and simpler patterns, or names.`,
    );
  }
}

interface PatternTree {
  readonly node: Node;
  readonly ignoreCase: boolean;
}

function readPattern(source: string, what: string): PatternTree {
  const parser = new PatternParser(source, what);
  return { node: parser.parse(), ignoreCase: parser.ignoreCase };
}

/** A compiled pattern. */
export class Pattern {
  readonly source: string;
  /** Null for a name, as most patterns are: thousands of them would take memory. */
  readonly #tree: PatternTree | null;

  /**
   * @param source a regular expression as Python's `re` writes it
   * @param what how error messages call it, such as `targetModules`
   */
  constructor(source: string, what: string) {
    if (source.length > MAX_PATTERN) {
      throw new UsageError(
        `${what} is a pattern of ${source.length} characters; at most ${MAX_PATTERN} are allowed. ` +
          "Give a list of module names instead.",
      );
    }
    this.source = source;
    this.#tree = /^[A-Za-z0-9_.-]+$/.test(source) ? null : readPattern(source, what);
  }

  /** Whether the pattern matches all of `text` (Python's `re.fullmatch`). */
  matches(text: string, steps: Steps = new Steps()): boolean {
    return this.ends(text, [0], steps).has(text.length);
  }

  /** Whether it matches from one of `starts` to the end. */
  matchesEnd(text: string, starts: readonly number[], steps: Steps = new Steps()): boolean {
    if (this.#tree === null) return this.#plainEnd(text, starts, steps);
    return this.ends(text, starts, steps).has(text.length);
  }

  /** Names, the most usual patterns, have one place where they can begin. A dot is any character. */
  #plainEnd(text: string, starts: readonly number[], steps: Steps): boolean {
    const { source } = this;
    const begin = text.length - source.length;
    let at = source.length - 1;
    while (at >= 0 && begin >= 0 && isPlainMatch(source.charAt(at), text.charAt(begin + at))) at--;
    steps.spend(1 + ((source.length - at) >> 3));
    return at < 0 && starts.includes(begin);
  }

  /** Every place in `text` where a match that begins at one of `starts` can end. */
  ends(text: string, starts: Iterable<number>, steps: Steps = new Steps()): Set<number> {
    const { node, ignoreCase: fold } = this.#tree ?? readPattern(this.source, "A pattern");
    // Folding reads all of it.
    steps.spend(text.length >> 6);
    const subject = { text: fold ? text.toLowerCase() : text, fold, known: new Map(), steps };
    return step(node, new Set(starts), subject);
  }
}

interface Subject {
  readonly text: string;
  readonly fold: boolean;
  /** What a look-around has found at a place, so that nested ones are not asked twice. */
  readonly known: Map<Node, Map<number, boolean>>;
  readonly steps: Steps;
}

const isPlainMatch = (expected: string, found: string): boolean =>
  expected === found || (expected === "." && found !== "\n");
const isWord = (char: string) => /^[A-Za-z0-9_]$/.test(char);

function step(node: Node, from: Set<number>, subject: Subject): Set<number> {
  const { text, fold, steps } = subject;
  steps.spend(1 + from.size * (node.kind === "char" ? node.cost : 1));
  if (from.size === 0) return from;
  const keep = (condition: (place: number) => boolean) => new Set([...from].filter(condition));
  switch (node.kind) {
    case "char": {
      const to = new Set<number>();
      for (const place of from) {
        if (place < text.length && node.accepts(text.charAt(place), fold)) to.add(place + 1);
      }
      return to;
    }
    case "sequence":
      return inSequence(node.items, from, subject);
    case "choice":
      return new Set(node.items.flatMap((item) => [...step(item, from, subject)]));
    case "repeat":
      return repeat(node.item, node.min, node.max, from, subject);
    case "start":
      return keep((place) => place === 0);
    case "end":
      return keep((place) => place === text.length);
    case "boundary":
      return keep((place) => {
        const before = place > 0 && isWord(text.charAt(place - 1));
        const after = place < text.length && isWord(text.charAt(place));
        return (before !== after) !== node.negative;
      });
    case "ahead":
    case "behind":
      return keep((place) => looks(node, place, subject) !== node.negative);
  }
}

function inSequence(items: readonly Node[], from: Set<number>, subject: Subject): Set<number> {
  let places = from;
  for (const item of items) {
    if (places.size === 0) break;
    places = step(item, places, subject);
  }
  return places;
}

/** Whether a look-around finds its item ahead of, or behind, a place. */
function looks(
  node: Node & { kind: "ahead" | "behind" },
  place: number,
  subject: Subject,
): boolean {
  const known = subject.known.get(node) ?? new Map<number, boolean>();
  subject.known.set(node, known);
  let found = known.get(place);
  if (found === undefined) {
    if (node.kind === "ahead") found = step(node.item, new Set([place]), subject).size > 0;
    else {
      const begin = place - node.length;
      found = begin >= 0 && step(node.item, new Set([begin]), subject).has(place);
    }
    known.set(place, found);
  }
  return found;
}

function repeat(
  item: Node,
  min: number,
  max: number,
  from: Set<number>,
  subject: Subject,
): Set<number> {
  let frontier = from;
  for (let count = 0; count < min; count++) frontier = step(item, frontier, subject);
  const reached = new Set(frontier);
  // A further round is only needed for places not seen before: there are at most text.length + 1.
  for (let count = min; count < max && frontier.size > 0; count++) {
    const next = [...step(item, frontier, subject)].filter((place) => !reached.has(place));
    frontier = new Set(next);
    for (const place of next) reached.add(place);
  }
  return reached;
}
