// Errors and remarks name an option as it is called where it was given: by a program (`targetModules`), by a key of a file
// (`target_modules`), or on the command line (`--targets`). Who takes options from a file or from words says so here, and
// whatever writes a sentence about an option asks for its name.

/** The name of an option where it was given; undefined for one that cannot be given there. */
export type Wording = (option: string) => string | undefined;

const asInPrograms: Wording = (option) => option;

let wording = asInPrograms;

/** How a sentence calls an option of the library. */
export function optionName(option: string): string {
  return wording(option) ?? option;
}

/**
 * Runs `fn` with other names of options in its errors and remarks; those that are not among them keep theirs. It must be
 * synchronous.
 */
export function inWordsOf<T>(words: Wording, fn: () => T): T {
  const before = wording;
  wording = (option) => words(option) ?? before(option);
  try {
    return fn();
  } finally {
    wording = before;
  }
}

/** Lets all sentences from now on use these names, until the function that comes back is called: for a whole command. */
export function speakIn(words: Wording): () => void {
  const before = wording;
  wording = words;
  return () => {
    wording = before;
  };
}
