// What the tests of datasets share: a tokenizer of characters, and texts whose tokens tell where they come from.

import { type Batch, IGNORE_INDEX } from "../../src/data/batch.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";

// One token a character: its code. So tokens can be followed through packing by eye.
export function characters(extra: { bosTokenId?: number; eosTokenId?: number } = {}): Tokenizer {
  return {
    vocabSize: 0x10000,
    encode: (text) => Array.from(text, (character) => character.charCodeAt(0)),
    decode: (ids) => Array.from(ids, (id) => String.fromCharCode(id)).join(""),
    ...extra,
  };
}

// A text in which no character occurs twice, so that every target tells where it comes from.
export function distinctText(length: number): string {
  return Array.from({ length }, (_, i) => String.fromCharCode(0x4e00 + i)).join("");
}

export function targetsOf(batches: Iterable<Batch>): number[] {
  return [...batches].flatMap((batch) => [...batch.targets]).filter((t) => t !== IGNORE_INDEX);
}

export function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}

// The batches that make up epoch e of a dataset with one row a batch.
export function* epoch(data: Dataset, e: number): Iterable<Batch> {
  const { rowsPerEpoch } = data.summary;
  yield* data.batches({ steps: rowsPerEpoch, from: e * rowsPerEpoch });
}
