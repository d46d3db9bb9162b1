// The first product of a program that uses lowrank as it is packaged, with the options that nobody has set.

import { writeSync } from "node:fs";
import { init, matmul, ones } from "lowrank";

await init();
const a = ones([64, 64]);
if (matmul(a, a).toArray()[0] !== 64) throw new Error("The product is wrong.");
writeSync(1, "x");
