// Reads a regular expression of Python's `re` into a tree: characters, classes, groups, alternatives,
// quantifiers, anchors, word boundaries and look-around. A construct outside this set, or one that could
// run away, is refused with its place in the pattern.
import { UsageError } from "../core/error.ts";

/** One node of a pattern; see `pattern.ts` for what each does. */
export type Node =
  | { kind: "char"; accepts: (char: string, fold: boolean) => boolean; cost: number }
  | { kind: "sequence" | "choice"; items: Node[] }
  | { kind: "repeat"; item: Node; min: number; max: number }
  | { kind: "start" | "end" }
  | { kind: "boundary"; negative: boolean }
  | { kind: "ahead"; item: Node; negative: boolean }
  | { kind: "behind"; item: Node; negative: boolean; length: number };

type Accepts = (char: string) => boolean;

// A counted repetition is run that many times for each name.
const MAX_COUNT = 100;
const MAX_DEPTH = 50;

const CLASSES: Readonly<Record<string, Accepts>> = {
  d: (char) => /[0-9]/.test(char),
  w: (char) => /[A-Za-z0-9_]/.test(char),
  s: (char) => /[ \t\n\r\f\v]/.test(char),
  D: (char) => !/[0-9]/.test(char),
  W: (char) => !/[A-Za-z0-9_]/.test(char),
  S: (char) => !/[ \t\n\r\f\v]/.test(char),
};
const CONTROLS: Readonly<Record<string, string>> = {
  a: "\x07",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

export class PatternParser {
  ignoreCase = false;
  readonly #source: string;
  readonly #what: string;
  #place = 0;
  #depth = 0;
  // Whether the node read last contains a quantifier that may repeat.
  #repeats = false;

  constructor(source: string, what: string) {
    this.#source = source;
    this.#what = what;
  }

  parse(): Node {
    const flags = /^\(\?([aiLmsux]+)\)/.exec(this.#source);
    if (flags !== null) {
      // a, m, s and u change nothing for names: they hold neither line breaks nor letters beyond ASCII.
      if (/[Lx]/.test(flags[1]!)) this.#fail(`the flags (?${flags[1]})`);
      this.ignoreCase = flags[1]!.includes("i");
      this.#place = flags[0].length;
    }
    const node = this.#choice();
    if (this.#place < this.#source.length) this.#fail("an unmatched )");
    return node;
  }

  #fail(problem: string): never {
    throw new UsageError(
      `${this.#what} is the pattern ${JSON.stringify(this.#source)}, which cannot be used because of ` +
        `${problem} at character ${this.#place}. Simplify it, or give a list of module names.`,
    );
  }

  #peek(length = 1): string {
    return this.#source.slice(this.#place, this.#place + length);
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#place)) return false;
    this.#place += text.length;
    return true;
  }

  #choice(): Node {
    if (++this.#depth > MAX_DEPTH) this.#fail("groups nested too deeply");
    const items = [this.#sequence()];
    let repeats = this.#repeats;
    while (this.#take("|")) {
      items.push(this.#sequence());
      repeats ||= this.#repeats;
    }
    this.#depth--;
    this.#repeats = repeats;
    return items.length === 1 ? items[0]! : { kind: "choice", items };
  }

  #sequence(): Node {
    const items: Node[] = [];
    let repeats = false;
    while (this.#place < this.#source.length && !/[|)]/.test(this.#peek())) {
      items.push(this.#quantified());
      repeats ||= this.#repeats;
    }
    this.#repeats = repeats;
    return { kind: "sequence", items };
  }

  #quantified(): Node {
    this.#repeats = false;
    const begin = this.#place;
    const item = this.#atom();
    const range = this.#quantifier();
    if (range === null) return item;
    const [min, max] = range;
    if (/[*+?]/.test(this.#peek()) || this.#quantifier() !== null) {
      if (!this.#take("?")) this.#fail("a possessive or doubled quantifier");
      if (/[*+?]/.test(this.#peek())) this.#fail("a doubled quantifier");
    }
    if (!["char", "sequence", "choice", "repeat"].includes(item.kind)) {
      this.#place = begin;
      this.#fail("a quantifier after something without width");
    }
    if (max > 1) {
      if (this.#repeats) {
        this.#place = begin;
        this.#fail("a quantifier within a quantifier, which can run away,");
      }
      this.#repeats = true;
    }
    return { kind: "repeat", item, min, max };
  }

  #quantifier(): [number, number] | null {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    const counts = /^\{(\d*)(,?)(\d*)\}/.exec(this.#source.slice(this.#place));
    // A brace that holds no counts stands for itself.
    if (counts === null || counts[0] === "{}") return null;
    const [text, low = "", comma, high = ""] = counts;
    const min = low === "" ? 0 : Number(low);
    const max = comma === "" ? min : high === "" ? Number.POSITIVE_INFINITY : Number(high);
    const largest = max === Number.POSITIVE_INFINITY ? min : max;
    if (min > max || largest > MAX_COUNT)
      this.#fail(`the quantifier ${text} (at most ${MAX_COUNT})`);
    this.#place += text.length;
    return [min, max];
  }

  #atom(): Node {
    if (this.#peek() === "(") return this.#group();
    if (this.#peek() === "[") return this.#set();
    if (this.#peek() === "\\") return this.#escape();
    const char = this.#peek();
    if (/[*+?]/.test(char)) this.#fail("a quantifier with nothing to repeat");
    if (this.#quantifier() !== null) this.#fail("a quantifier with nothing to repeat");
    this.#place++;
    if (char === ".") return { kind: "char", accepts: (other) => other !== "\n", cost: 1 };
    if (char === "^") return { kind: "start" };
    if (char === "$") return { kind: "end" };
    return literal(char);
  }

  #group(): Node {
    const begin = this.#place;
    const open = /^\((?:\?(?::|P<[A-Za-z_]\w*>|=|!|<=|<!))?/.exec(this.#source.slice(begin))![0];
    if (open === "(" && this.#peek(2) === "(?") this.#fail(`the group ${this.#peek(4)}...`);
    this.#place += open.length;
    const item = this.#choice();
    if (!this.#take(")")) this.#fail("a missing )");
    const negative = open.endsWith("!");
    if (open === "(?=" || open === "(?!") return { kind: "ahead", item, negative };
    if (open === "(?<=" || open === "(?<!") {
      const length = fixedLength(item);
      if (length === null) this.#fail("a look-behind without a fixed length");
      return { kind: "behind", item, negative, length };
    }
    return item;
  }

  #escape(): Node {
    const letter = this.#source.charAt(this.#place + 1);
    if (letter === "A" || letter === "Z" || letter === "b" || letter === "B") {
      this.#place += 2;
      if (letter === "A") return { kind: "start" };
      if (letter === "Z") return { kind: "end" };
      return { kind: "boundary", negative: letter === "B" };
    }
    const accepts = this.#escaped();
    return typeof accepts === "string" ? literal(accepts) : { kind: "char", accepts, cost: 1 };
  }

  /** An escape that stands for one character (returned as such) or a class of them. */
  #escaped(): string | Accepts {
    const letter = this.#source.charAt(this.#place + 1);
    if (letter === "") this.#fail("a backslash at the end");
    const code = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))/.exec(this.#source.slice(this.#place));
    if (code !== null) {
      this.#place += code[0].length;
      return String.fromCharCode(Number.parseInt(code[1] ?? code[2]!, 16));
    }
    if (/[1-9]/.test(letter)) this.#fail("a backreference");
    if (Object.hasOwn(CLASSES, letter) || Object.hasOwn(CONTROLS, letter)) {
      this.#place += 2;
      return CLASSES[letter] ?? CONTROLS[letter]!;
    }
    if (/[A-Za-z0-9]/.test(letter)) this.#fail(`the escape \\${letter}`);
    this.#place += 2;
    return letter;
  }

  #set(): Node {
    this.#place++;
    const negative = this.#take("^");
    const parts: Accepts[] = [];
    for (let first = true; first || this.#peek() !== "]"; first = false) {
      if (this.#place >= this.#source.length) this.#fail("a missing ]");
      const low = this.#member();
      const ranged = this.#peek() === "-" && this.#peek(2) !== "-]" && this.#peek(2).length === 2;
      if (!ranged) {
        parts.push(typeof low === "string" ? (char) => char === low : low);
        continue;
      }
      this.#place++;
      const high = this.#member();
      if (typeof low !== "string" || typeof high !== "string" || high < low) {
        return this.#fail("a broken range in [ ]");
      }
      parts.push((char) => char >= low && char <= high);
    }
    this.#place++;
    const has = (char: string) => parts.some((part) => part(char));
    return {
      kind: "char",
      accepts: (char, fold) =>
        (has(char) || (fold && (has(char.toUpperCase()) || has(char.toLowerCase())))) !== negative,
      cost: 1 + parts.length,
    };
  }

  #member(): string | Accepts {
    if (this.#take("\\b")) return "\b";
    if (this.#peek() === "\\") return this.#escaped();
    return this.#source.charAt(this.#place++);
  }
}

function literal(expected: string): Node {
  const folded = expected.toLowerCase();
  return { kind: "char", accepts: (char, fold) => char === (fold ? folded : expected), cost: 1 };
}

/** How many characters a node always takes; null when that varies. */
function fixedLength(node: Node): number | null {
  switch (node.kind) {
    case "char":
      return 1;
    case "sequence": {
      const lengths = node.items.map(fixedLength);
      return lengths.reduce(
        (sum, length) => (sum === null || length === null ? null : sum + length),
        0,
      );
    }
    case "choice": {
      const lengths = node.items.map(fixedLength);
      return lengths.every((length) => length === lengths[0]) ? lengths[0]! : null;
    }
    case "repeat": {
      const length = fixedLength(node.item);
      return length === null || node.min !== node.max ? null : length * node.min;
    }
    default:
      return 0;
  }
}
