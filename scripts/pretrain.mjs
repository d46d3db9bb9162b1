// Trains the embedded base model from nothing, by the library's own full-training path, and writes it to models/.
//   npm run pretrain                        about an hour on two cores; goes on where it was stopped
//   node scripts/pretrain.mjs --steps 20 --out DIR
// Deterministic: the same bytes on every machine. Progress and state lie in node_modules/.cache/lowrank-pretrain.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  bitsPerByte,
  corpusDataset,
  evaluate,
  generate,
  init,
  modelFiles,
  normalInitializer,
  Trainer,
  Transformer,
  trainTokenizer,
  writeTokenizerJson,
} from "../dist/src/index.js";
import { sotuDocuments } from "./text-sotu.mjs";

/** What the model and its training are; the model card states the same. */
export const RECIPE = {
  seed: 1,
  vocabSize: 1024,
  batchSize: 16,
  blockSize: 256,
  config: {
    modelType: "llama",
    hiddenSize: 160,
    layers: 4,
    heads: 5,
    kvHeads: 5,
    headDim: 32,
    intermediateSize: 432,
    maxPositions: 256,
    norm: "rms",
    normEps: 1e-5,
    activation: "silu",
    gated: true,
    positions: "rope",
    ropeTheta: 10000,
    ropeStyle: "half",
    attentionBias: { qkv: false, out: false },
    mlpBias: false,
    tieWordEmbeddings: true,
  },
  trainer: {
    steps: 2000,
    lr: 3e-3,
    schedule: "cosine",
    warmupSteps: 100,
    weightDecay: 0.1,
    betas: [0.9, 0.95],
    maxGradNorm: 1,
    seed: 1,
    full: true,
  },
};

/** Tokenizer, data, fresh model and trainer of the recipe. */
export function prepare() {
  const documents = sotuDocuments();
  const texts = (heldOut) =>
    documents.filter((document) => document.heldOut === heldOut).map(({ text }) => text);
  const corpus = { train: texts(false), validation: texts(true) };
  const { seed, vocabSize, batchSize, blockSize, config } = RECIPE;
  const tokenizer = trainTokenizer(corpus.train, { vocabSize });
  const data = corpusDataset(tokenizer, corpus, { batchSize, blockSize, seed });
  const tokens = { bosTokenId: tokenizer.bosTokenId, eosTokenId: [tokenizer.eosTokenId] };
  const model = new Transformer(
    { ...config, ...tokens, vocabSize: tokenizer.vocabSize },
    normalInitializer(seed, 0.02),
  );
  return { tokenizer, data, model, trainer: new Trainer(model, data, RECIPE.trainer) };
}

/** The files of the model's directory, float16. */
export function filesOf(model, tokenizer) {
  const files = modelFiles(model, { dtype: "F16" });
  files.set("tokenizer.json", new TextEncoder().encode(writeTokenizerJson(tokenizer)));
  return files;
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function main() {
  const { values } = parseArgs({
    options: {
      steps: { type: "string" },
      out: { type: "string" },
      threads: { type: "string", default: "2" },
    },
  });
  const root = fileURLToPath(new URL("..", import.meta.url));
  const out = values.out ?? join(root, "models/lowrank-sotu");
  const cache = join(root, "node_modules/.cache/lowrank-pretrain");
  const last = values.steps === undefined ? RECIPE.trainer.steps : Number(values.steps);
  await init({ deterministic: true, threads: Number(values.threads) });
  const { tokenizer, data, model, trainer } = prepare();
  console.log(`${model.countParameters()} parameters`, data.summary);
  const statePath = join(cache, "state.bin");
  mkdirSync(cache, { recursive: true });
  if (values.out === undefined && existsSync(statePath)) {
    trainer.loadState(readFileSync(statePath), statePath);
    console.log(`going on after step ${trainer.step}`);
  }
  let started = performance.now();
  let tokens = 0;
  while (trainer.step < last) {
    const report = trainer.trainStep();
    tokens += report.inputTokens;
    if (report.step % 20 === 0) {
      const rate = tokens / ((performance.now() - started) / 1000);
      console.log(
        `step ${report.step}  loss ${report.loss.toFixed(4)}  lr ${report.lr.toExponential(2)}  ` +
          `norm ${report.gradNorm.toFixed(2)}  ${rate.toFixed(0)} tokens/s`,
      );
    }
    if (report.step % 200 === 0 && values.out === undefined) {
      writeFileSync(`${statePath}.tmp`, trainer.state());
      renameSync(`${statePath}.tmp`, statePath);
      const held = evaluate(model, data.validationBatches());
      const bits = bitsPerByte(held, data.summary.validationBytes);
      console.log(
        `held out: ${held.loss.toFixed(4)} nats a token, ${bits.toFixed(4)} bits per byte`,
      );
      const prompt = tokenizer.encode("The American people");
      const ids = generate(model, prompt, { maxNewTokens: 60, seed: 1 });
      console.log(JSON.stringify(tokenizer.decode([...prompt, ...ids])));
      started = performance.now();
      tokens = 0;
    }
  }
  mkdirSync(out, { recursive: true });
  for (const [name, bytes] of filesOf(model, tokenizer)) {
    writeFileSync(join(out, name), bytes);
    console.log(`${name}  ${bytes.length} bytes  sha256 ${sha256(bytes)}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main();
  process.exit(0);
}
