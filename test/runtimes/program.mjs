// What every runtime runs: a short training whose result is reduced to one SHA-256. It knows no runtime; the
// files that it wants of the package come as bytes.

/** Files of the package, by their paths in it, that `run` is given. */
export const files = [];

/** The hash that every runtime must find; null: the one that the first runtime found. */
export const pinned = null;

const ROWS = 96;
const WIDTH = 128;

function matrix(rows, columns, seed) {
  const values = new Float32Array(rows * columns);
  let state = seed;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 2 ** 31 - 1;
  }
  return { values, shape: [rows, columns] };
}

async function sha256(values) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", values.slice()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Gradient descent on a layer of tanh; large enough that two threads share the work. */
export async function run(lowrank, { threads, module }) {
  const engine = await lowrank.init({ deterministic: true, threads, module });
  const made = (rows, columns, seed, options) => {
    const { values, shape } = matrix(rows, columns, seed);
    return lowrank.tensor(values, { shape, ...options });
  };
  const input = made(ROWS, WIDTH, 1);
  const target = made(ROWS, WIDTH, 2);
  const weight = made(WIDTH, WIDTH, 3, { requiresGrad: true });
  for (let step = 0; step < 5; step++) {
    lowrank.scope(() => {
      const error = input.matmul(weight).tanh().sub(target);
      error.mul(error).mean().backward();
    });
    const gradient = weight.grad;
    weight.set(weight.toArray().map((value, i) => value - Math.fround(8 * gradient[i])));
    weight.zeroGrad();
  }
  const result = {
    threads: engine.threads,
    build: engine.build,
    sha256: await sha256(weight.toArray()),
  };
  engine.shutdown();
  return result;
}
