// Which of the names that exist did the reader of an error message mean? The nearest by edit distance:
// the fewest insertions, deletions and changes of a letter (V. Levenshtein, 1966).

/** Sorts `names` by their distance from `wanted`, nearest first; equal distances keep their order. */
export function nearestNames(wanted: string, names: Iterable<string>): string[] {
  // The distance takes time in the product of the lengths; the beginning of a long name tells enough.
  const target = wanted.slice(0, 200);
  const scored = [...names].map((name) => ({
    name,
    distance: distance(target, name.slice(0, 200)),
  }));
  return scored.sort((a, b) => a.distance - b.distance).map(({ name }) => name);
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
