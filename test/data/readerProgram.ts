// Reads one file in a process of its own and prints the peak of its memory in kB, and what came of the file.
import { readFileSync } from "node:fs";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";
import { textDataset } from "../../src/data/textDataset.ts";

const [kind = "", path = "", tokenizerPath = ""] = process.argv.slice(2);
const options = { batchSize: 1, blockSize: 16, validation: 0.1 };
let result: string;
try {
  if (kind === "tokenizer") {
    const tokenizer = readTokenizerJson(readFileSync(path));
    result = `${tokenizer.encode("the word").length} tokens`;
  } else {
    const make = kind === "lines" ? jsonlDataset : textDataset;
    const tokenizer = readTokenizerJson(readFileSync(tokenizerPath));
    result = `${make(tokenizer, readFileSync(path), options).summary.tokens} tokens`;
  }
} catch (error) {
  result = (error as Error).message;
}
console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS, result }));
