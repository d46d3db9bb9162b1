// package-lock.json: `npm ci` refuses one that lacks a package of any platform, and `npm install` adds to it.

import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { root } from "./installed.ts";

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const text = readFileSync(join(root, "package-lock.json"), "utf8");
const packages = new Map(Object.entries<Locked>(JSON.parse(text).packages));

/** Whether a package finds another one in its own node_modules or in those above, as Node looks for it. */
function isFound(from: string, name: string): boolean {
  for (let at = from; ; at = posix.dirname(at)) {
    if (packages.has(posix.join(at, "node_modules", name))) return true;
    if (at === "" || at === ".") return packages.has(`node_modules/${name}`);
  }
}

test("the lock file has every package that another one names, also those of other platforms", () => {
  const missing: string[] = [];
  for (const [path, locked] of packages) {
    const optionalPeers = new Set(
      Object.entries(locked.peerDependenciesMeta ?? {}).flatMap(([name, { optional }]) =>
        optional ? [name] : [],
      ),
    );
    const names = [
      ...Object.keys(locked.dependencies ?? {}),
      ...Object.keys(locked.optionalDependencies ?? {}),
      ...Object.keys(locked.devDependencies ?? {}),
      ...Object.keys(locked.peerDependencies ?? {}).filter((name) => !optionalPeers.has(name)),
    ];
    missing.push(...names.filter((name) => !isFound(path, name)).map((name) => `${path}: ${name}`));
  }
  assert.equal(missing, []);
});

test("the lock file asks for what package.json asks for, and names no registry", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(packages.get("")?.devDependencies, manifest.devDependencies);
  assert.not.match(text, /"resolved"/);
});

test("the lock file has no field that one version of npm writes and another takes out", () => {
  assert.not.match(text, /"libc"/);
});

test.run();
