// Which of the names that exist did the reader of an error message mean? The nearest by edit distance:
// the fewest insertions, deletions and changes of a letter (V. Levenshtein, 1966).

/**
 * Sorts `names` by their distance from `wanted`, nearest first; equal distances keep their order. Spellings of the same
 * words (`batch_size`, `batchSize`) are as good as equal, and so are the first letters of the words (`lr`); a part of
 * the words at the beginning or the end (`alpha`) is nearly so.
 */
export function nearestNames(wanted: string, names: Iterable<string>): string[] {
  // The distance takes time in the product of the lengths; the beginning of a long name tells enough.
  const target = wanted.slice(0, 200);
  const letters = lettersOf(target);
  const initials = initialsOf(target);
  const scored = [...names].map((name) => {
    const start = name.slice(0, 200);
    const own = lettersOf(start);
    if (own === letters || own === initials) return { name, distance: 0 };
    if (contains(own, letters) || contains(letters, own)) return { name, distance: 1 };
    return { name, distance: distance(target, start) };
  });
  return scored.sort((a, b) => a.distance - b.distance).map(({ name }) => name);
}

function lettersOf(name: string): string {
  return name.replace(/[_-]/g, "").toLowerCase();
}

/** Does a name begin or end with so much of another one that it says something? */
function contains(whole: string, part: string): boolean {
  return part.length >= 3 && (whole.startsWith(part) || whole.endsWith(part));
}

/** "lr" of "learningRate" and "learning_rate"; empty for a single word. */
function initialsOf(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .split(/[_-]/)
    .filter((word) => word !== "");
  return words.length < 2 ? "" : words.map(([first = ""]) => first.toLowerCase()).join("");
}

function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
