// The package.json of the tarball. Scripts and devDependencies serve whoever works on lowrank; a user's npm would ask to
// approve the first and audit the second. npm packs the file that lies in the root, so `npm pack` and `npm publish` put
// the short one there (prepack) and the whole one back (postpack).
//   node scripts/manifest.mjs strip | restore [DIRECTORY]
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [action, directory = fileURLToPath(new URL("..", import.meta.url))] = process.argv.slice(2);
const manifest = join(directory, "package.json");
const whole = join(directory, "node_modules/.cache/lowrank-manifest/package.json");

// A pack that was killed has left the short manifest. One with scripts has been put back by hand, and perhaps edited.
if (existsSync(whole)) {
  const isShort = JSON.parse(readFileSync(manifest, "utf8")).scripts === undefined;
  if (isShort) writeFileSync(manifest, readFileSync(whole));
  rmSync(whole);
}
if (action === "strip") {
  const text = readFileSync(manifest, "utf8");
  const { scripts: _, devDependencies: __, ...published } = JSON.parse(text);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, text);
  writeFileSync(manifest, `${JSON.stringify(published, null, 2)}\n`);
}
