// What every runtime runs: the embedded model learns a LoRA adapter for some steps of the deterministic build; the
// result is the SHA-256 of the adapter's file. It knows no runtime; the files of the package come as bytes.

const MODEL = "models/lowrank-sotu";
const TEXT = "data/king-james.txt";
const STEPS = 6;

/** Files of the package, by their paths in it, that `run` is given. */
export const files = [
  ...["config.json", "model.safetensors", "tokenizer.json"].map((name) => `${MODEL}/${name}`),
  TEXT,
];

/** The hash that every runtime must find. */
export const pinned = "3494104c11dec8b232f4a7db283fc6d05b3960e93e1f2d0064f09957f4b052ac";

/** Linear memory that a run may take: a worker's isolate has 128 MB for everything. */
export const memoryLimit = 64 * 1024 * 1024;

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A trainer over the embedded model; the same in every process. */
async function prepare(lowrank, contents) {
  const named = Object.entries(contents).filter(([path]) => path.startsWith(`${MODEL}/`));
  const model = await lowrank.loadModel(
    Object.fromEntries(named.map(([path, bytes]) => [path.slice(MODEL.length + 1), bytes])),
  );
  const text = contents[TEXT];
  const data = await lowrank.loadText(model, { text, batchSize: 2, blockSize: 64, seed: 1 });
  const adapter = lowrank.injectLora(model, {
    r: 4,
    loraAlpha: 8,
    loraDropout: 0.1,
    targetModules: "all-linear",
  });
  return { adapter, trainer: new lowrank.Trainer(model, data, { steps: STEPS, seed: 1 }) };
}

const fileOf = (lowrank, adapter) => lowrank.adapterFiles(adapter).get("adapter_model.safetensors");
const hashOf = (lowrank, adapter) => sha256(fileOf(lowrank, adapter));

/** The trained adapter's file, in the current engine. */
export async function trained(lowrank, contents) {
  const { adapter, trainer } = await prepare(lowrank, contents);
  while (!trainer.done) trainer.trainStep();
  return fileOf(lowrank, adapter);
}

/** The whole run, of the deterministic build unless the options of init() say otherwise. */
export async function run(lowrank, { threads, module, options, files: contents }) {
  const engine = await lowrank.init({ deterministic: true, threads, module, ...options });
  const file = await trained(lowrank, contents);
  const result = {
    threads: engine.threads,
    build: engine.build,
    memory: engine.memoryBytes,
    sha256: await sha256(file),
  };
  engine.shutdown();
  return result;
}

/** Half of the run, from where `state` (bytes; empty: the start) was taken: the state, or the hash at the end. */
export async function runHalf(lowrank, { module, files: contents, state }) {
  const engine = await lowrank.init({ deterministic: true, threads: 1, module });
  const { adapter, trainer } = await prepare(lowrank, contents);
  if (state.length > 0) trainer.loadState(state);
  for (let i = 0; i < STEPS / 2; i++) trainer.trainStep();
  return trainer.done
    ? { build: engine.build, memory: engine.memoryBytes, sha256: await hashOf(lowrank, adapter) }
    : trainer.state();
}
