// Tokens and their ids, both ways.

/** Tokens, spelled in the byte alphabet of byteLevel.ts, and their ids. */
export interface Vocabulary {
  /** One more than the largest id. */
  readonly idLimit: number;
  /** No token has more UTF-16 units. */
  readonly longest: number;
  find(token: string): number | undefined;
  token(id: number): string | undefined;
}

/** The vocabulary of a map. */
export class MapVocabulary implements Vocabulary {
  readonly idLimit: number;
  readonly longest: number;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #tokens: string[] = [];

  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
    let limit = 0;
    let longest = 0;
    for (const [token, id] of ids) {
      this.#tokens[id] = token;
      limit = Math.max(limit, id + 1);
      longest = Math.max(longest, token.length);
    }
    this.idLimit = limit;
    this.longest = longest;
  }

  find(token: string): number | undefined {
    return this.#ids.get(token);
  }

  token(id: number): string | undefined {
    return this.#tokens[id];
  }
}
