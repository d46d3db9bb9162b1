// What a byte-level BPE tokenizer is made of.
import { expectMap, expectObject, wrongKind } from "../core/kind.ts";
import type { Component } from "./jsonFields.ts";

/** Unicode's normal forms. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** A token that is found in the text as it stands, before the pre-tokens are cut. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Carries no text of its own: control tokens such as the end of a document. */
  readonly special: boolean;
  /** Looked for after normalisation, in its own normal form. */
  readonly normalized: boolean;
}

/** All that a byte-level BPE tokenizer is made of. */
export interface BpeDefinition {
  /** Ids of the tokens, spelled in the byte alphabet of byteLevel.ts. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Pairs in order of rank; both parts and their join are in `vocab`. */
  readonly merges: readonly (readonly [string, string])[];
  readonly addedTokens: readonly AddedToken[];
  readonly preTokenizer: Component;
  readonly normalForms?: readonly NormalForm[];
  /** The id of a byte that has no token of its own; without it such a byte is an error. */
  readonly unkTokenId?: number | undefined;
  /** A pre-token that is in the vocabulary as a whole is taken as it is. */
  readonly ignoreMerges?: boolean;
  /** Ids put before a text. Without them a text begins with the begin token, if there is one. */
  readonly prefixIds?: readonly number[] | undefined;
  /** Ids put after a text when `addSpecialTokens` is asked for, and after a text that is trained. */
  readonly suffixIds?: readonly number[] | undefined;
  readonly bosTokenId?: number | undefined;
  readonly eosTokenId?: number | undefined;
  /** Further ids that end a text. */
  readonly stopTokenIds?: readonly number[] | undefined;
  /**
   * How many tokens the model has. Ids below it that have no token spell nothing, and a text that spells a token
   * beyond it is refused. Without it the vocabulary is all there is.
   */
  readonly modelVocabSize?: number | undefined;
}

/** Throws unless the parts of a definition are of their kinds. */
export function checkDefinition(definition: BpeDefinition): void {
  expectObject("The definition of a tokenizer", definition);
  const { vocab, merges, addedTokens, preTokenizer } = definition;
  expectMap("vocab", vocab, "a Map from tokens to ids");
  if (!Array.isArray(merges) || !merges.every(Array.isArray)) {
    throw wrongKind("merges", merges, "an array of pairs");
  }
  if (!Array.isArray(addedTokens)) throw wrongKind("addedTokens", addedTokens, "an array");
  for (const token of addedTokens) expectObject("An added token", token);
  expectObject("preTokenizer", preTokenizer);
}
