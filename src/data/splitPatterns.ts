// How byte-level BPE cuts text into pre-tokens; merges never cross a cut. tokenizer.json writes it as a regular
// expression for Oniguruma, whose \s is Unicode's White_Space (with U+0085, without U+FEFF, the reverse of
// JavaScript's \s). Run by a host, such an expression may recurse once a character and overflow at a few megabytes
// without a cut. So the known ones are not run at all: a loop over characters cuts as they do, and an unknown one is
// refused. In every alternative of the three, in their order:
//   contractions                            's 't 're 've 'm 'll 'd
//   words         ` ?\p{L}+`                or one character that is no letter, number or line end, then letters
//   numbers       ` ?\p{N}+`                or up to so many digits, without a space
//   marks         ` ?[^\s\p{L}\p{N}]+`      and the line ends behind them
//   line ends     none                      or `\s*[\r\n]+`
//   spaces        `\s+(?!\S)|\s+`           a run but its last character, if something follows
import { classAt, LETTER, NUMBER, OTHER, SPACE, widthAt } from "./characterClass.ts";

/** GPT-2's pattern, which the ByteLevel pre-tokenizer applies when `use_regex` is set. */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** What tells the known patterns apart. */
interface Style {
  /** A number may begin with a space, and a word with a space alone; contractions are in lower case. */
  readonly gpt2: boolean;
  /** Most digits of a number. */
  readonly digits: number;
}

const styles: ReadonlyMap<string, Style> = new Map([
  [gpt2Pattern, { gpt2: true, digits: Number.POSITIVE_INFINITY }],
  // Llama 3
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    { gpt2: false, digits: 3 },
  ],
  // Qwen 2
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    { gpt2: false, digits: 1 },
  ],
]);

const BLANK = 0x20;
const APOSTROPHE = 0x27;
// Behind the apostrophe; "ſ" (U+017F) is a lower-case "s" to Unicode's case folding.
const lower = /(?:[stmd]|re|ve|ll)/y;
const either = /(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])/y;

function isLineEnd(unit: number): boolean {
  return unit === 0x0a || unit === 0x0d;
}

/** Finds where pre-tokens end, one after the other. */
export class Scanner {
  readonly #style: Style;

  constructor(style: Style) {
    this.#style = style;
  }

  /** The end of the pre-token that begins at `at`, which is within the text. */
  end(text: string, at: number): number {
    const { gpt2, digits } = this.#style;
    const unit = text.charCodeAt(at);
    if (unit === APOSTROPHE) {
      const pattern = gpt2 ? lower : either;
      pattern.lastIndex = at + 1;
      if (pattern.test(text)) return pattern.lastIndex;
    }
    const kind = classAt(text, at);
    if (kind === LETTER) return this.#run(text, at, LETTER);
    if (kind === NUMBER) return this.#run(text, at, NUMBER, digits);
    const next = at + widthAt(text, at);
    const following = next < text.length ? classAt(text, next) : SPACE;
    if (unit === BLANK) {
      if (following === LETTER || (following === NUMBER && gpt2)) {
        return this.#run(text, next, following);
      }
      if (following === OTHER) return this.#marks(text, next);
    } else if (following === LETTER && !gpt2 && !isLineEnd(unit)) {
      return this.#run(text, next, LETTER);
    }
    return kind === OTHER ? this.#marks(text, at) : this.#spaces(text, at);
  }

  #run(text: string, from: number, kind: number, most = Number.POSITIVE_INFINITY): number {
    let at = from;
    for (let n = 0; n < most && at < text.length; n++) {
      if (classAt(text, at) !== kind) break;
      at += widthAt(text, at);
    }
    return at;
  }

  #marks(text: string, from: number): number {
    let at = this.#run(text, from, OTHER);
    if (!this.#style.gpt2) while (isLineEnd(text.charCodeAt(at))) at++;
    return at;
  }

  #spaces(text: string, from: number): number {
    const end = this.#run(text, from, SPACE);
    if (!this.#style.gpt2) {
      for (let at = end; at > from; at--) if (isLineEnd(text.charCodeAt(at - 1))) return at;
    }
    // A run before other text leaves its last character to it. All white space is one unit wide.
    return end < text.length && end - from > 1 ? end - 1 : end;
  }
}

/** The scanner of a known pattern, as tokenizer.json spells it; undefined for others. */
export function splitScanner(spelled: string): Scanner | undefined {
  const style = styles.get(spelled);
  return style === undefined ? undefined : new Scanner(style);
}
