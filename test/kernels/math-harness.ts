// Both binaries at the level of their scalar functions, and a module made for these tests alone that runs the
// vector functions over an array: the library itself has no such export.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import { instantiateSync } from "@assemblyscript/loader";
import asc from "assemblyscript/asc";

v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

type Call = (...args: number[]) => number;
export type VectorName = "exp" | "log" | "tanh" | "sigmoid" | "erf" | "sin" | "cos";
export const vectorNames: readonly VectorName[] = [
  "exp",
  "log",
  "tanh",
  "sigmoid",
  "erf",
  "sin",
  "cos",
];
type ScalarName =
  | `${VectorName}32`
  | "f64Exp"
  | "f64Log"
  | "f64Sin"
  | "f64Cos"
  | "f64Pow"
  | "dropoutThreshold"
  | "fillNormal"
  | "fillUniform"
  | "philox"
  | "storeDropoutMask4"
  | "storeDropoutMask16"
  | "setup";

/** One binary, set up, with the memory that its addresses mean. */
export interface Build {
  readonly name: "baseline" | "relaxed";
  readonly kernels: Record<ScalarName, Call>;
  readonly memory: WebAssembly.Memory;
}

function newMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
}

function build(name: Build["name"], file: string): Build {
  const memory = newMemory();
  const bytes = readFileSync(new URL(`../../${file}`, import.meta.url));
  const kernels = instantiateSync<Build["kernels"]>(bytes, { env: { memory } }).exports;
  kernels.setup();
  return { name, kernels, memory };
}

export const baseline: Build = build("baseline", "core.wasm");
export const relaxed: Build = build("relaxed", "core.relaxed.wasm");
export const builds: readonly Build[] = [baseline, relaxed];

/** Where tests put their arrays, above everything that the engine uses. */
export const Base: number = 1 << 20;

const source = `import { writeConstants } from "./math/constants";
import { expAll as all } from "./math/exp";
import { Vec } from "./math/functions";
export { writeConstants };
export function expAll(dst: usize, src: usize, count: i32): void {
  all(dst, src, dst + ((<usize>(count + 3) >> 2) << 4));
}
${vectorNames
  .map(
    (name) => `export function ${name}(dst: usize, src: usize, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    v128.store(dst + (<usize>i << 2), Vec.${name}(v128.load(src + (<usize>i << 2))));
  }
}`,
  )
  .join("\n")}`;

/** Compiles the vector functions as loops, and exp as the library's own loop; returns what runs one of them over an array. */
export async function vectors(
  name: Build["name"],
): Promise<(what: VectorName | "expAll", x: Float32Array) => Float32Array> {
  const assembly = fileURLToPath(new URL("../../../assembly/", import.meta.url));
  let bytes = new Uint8Array();
  const features = name === "relaxed" ? "simd,threads,relaxed-simd" : "simd,threads";
  const options = "--runtime stub --noAssert -O3 --use abort= --importMemory --sharedMemory";
  const sizes = "--initialMemory 2 --maximumMemory 65536 --outFile vectors.wasm";
  const { error, stderr } = await asc.main(
    ["vectors.ts", "--enable", features, ...`${options} ${sizes}`.split(" ")],
    {
      readFile: (file: string) => {
        if (file === "vectors.ts") return source;
        try {
          return readFileSync(assembly + file, "utf8");
        } catch {
          return null;
        }
      },
      writeFile: (_file: string, content: string | Uint8Array) => {
        if (typeof content !== "string") bytes = Uint8Array.from(content);
      },
      listFiles: () => [],
    },
  );
  if (error !== null) throw new Error(stderr.toString());
  const memory = newMemory();
  const { exports } = instantiateSync<Record<VectorName | "expAll" | "writeConstants", Call>>(
    bytes,
    {
      env: { memory },
    },
  );
  exports.writeConstants();
  return (what, x) => {
    const length = Math.ceil(x.length / 4) * 4;
    new Float32Array(memory.buffer, Base, x.length).set(x);
    exports[what](Base + 4 * length, Base, x.length);
    return new Float32Array(memory.buffer, Base + 4 * length, x.length).slice();
  };
}

/** The distance of neighbouring float32 numbers around a value; 2^-149 below the normal range. */
export function ulp(value: number): number {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const exponent = ((bits.getUint32(0) >>> 20) & 0x7ff) - 1023;
  return 2 ** (Math.max(exponent, -126) - 23);
}
