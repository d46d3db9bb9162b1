// Puts the declarations of the package into one file: what dist/src/index.d.ts exports and what that mentions, each
// with its comment, in the order of the index. The compiler writes a file for each source, of which a third is names of
// other files and insides that no import of the package leads to.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const NAMED =
  /^(?:export )?(?:declare )?(?:abstract )?(?:function|class|interface|const|type) (\w+)/;
const IMPORT =
  /^import (?:type )?(?:\{(?<names>[^}]*)\}|\* as (?<space>\w+)) from "(?<from>[^"]+)";$/;
const REEXPORT = /^export (?:type )?\{(?<names>[^}]*)\} from "(?<from>[^"]+)";$/;
// A comment or a string; or a name with a capital that is no key, and the name of the namespace before it.
const TYPE_NAME =
  /\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\]|\\.)*"|(?<![.\w])(?:(\w+)\.)?([A-Z]\w*)\b(?!\??:)/g;

/** Code without comments and strings, which may hold brackets and names. */
function bare(text) {
  return text.replace(/\/\*[\s\S]*?(?:\*\/|$)|\/\/.*|"(?:[^"\\]|\\.)*"/g, "");
}

/** The statements of a file, each with the comments before it. */
function statementsOf(text) {
  const found = [];
  let lines = [];
  for (const line of text.split("\n")) {
    lines.push(line);
    const code = bare(lines.join("\n")).trim();
    const opened = code.match(/[({[]/g)?.length ?? 0;
    const closed = code.match(/[)}\]]/g)?.length ?? 0;
    if (/[;}]$/.test(code) && opened === closed) {
      found.push(lines.join("\n").trim());
      lines = [];
    }
  }
  if (bare(lines.join("\n")).trim() !== "") throw new Error(`not a statement: ${lines.join("\n")}`);
  return found;
}

/** "type A, b as c" as [name, name under which it is known here]. */
function pairsOf(list) {
  return list
    .split(",")
    .map((item) => item.trim().replace(/^type /, ""))
    .filter((item) => item !== "")
    .map((item) => {
      const [name, known = name] = item.split(" as ");
      return [name, known];
    });
}

/** Declaration files, each read once. */
class Files {
  #read = new Map();

  /**
   * What a file has: its declarations by name; the files of the names and namespaces that it imports; what it exports
   * from others; the files that it needs; its global declarations.
   */
  of(path) {
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const file = {
      declared: new Map(),
      imported: new Map(),
      spaces: new Map(),
      exported: [],
      needed: [],
      global: [],
    };
    this.#read.set(path, file);
    for (const statement of statementsOf(readFileSync(path, "utf8"))) {
      const code = statement.replace(/^(?:\/\*[\s\S]*?\*\/\s*|\/\/.*\n)*/, "");
      const { names, space, from } = (IMPORT.exec(code) ?? REEXPORT.exec(code))?.groups ?? {};
      const target = from && join(dirname(path), from.replace(/\.ts$/, ".d.ts"));
      const declared = NAMED.exec(code)?.[1];
      if (target !== undefined) {
        file.needed.push(target);
        if (space !== undefined) file.spaces.set(space, target);
        for (const [name, as] of pairsOf(names ?? "")) {
          if (code.startsWith("export")) file.exported.push({ target, name, as });
          else if (name === as) file.imported.set(name, target);
          else throw new Error(`${path} imports ${name} as ${as}; keep the name.`);
        }
      } else if (declared !== undefined) {
        file.declared.set(declared, [...(file.declared.get(declared) ?? []), statement]);
      } else if (code.startsWith("declare global")) file.global.push(statement);
      else if (code !== "export {};") throw new Error(`${path} has a strange statement: ${code}`);
    }
    return file;
  }
}

/** The declarations that `visit` reaches, in its order, as [name, path of its file]. */
function reach(files, exported) {
  const owner = new Map();
  const visit = (path, name) => {
    const { declared, imported, spaces } = files.of(path);
    const statements = declared.get(name);
    if (statements === undefined) {
      const target = imported.get(name);
      if (target === undefined) throw new Error(`${path} declares no ${name}.`);
      visit(target, name);
      return;
    }
    if (owner.get(name) === path) return;
    if (owner.has(name)) {
      throw new Error(`${path} and ${owner.get(name)} both declare ${name}; rename one of them.`);
    }
    owner.set(name, path);
    const code = bare(statements.join("\n"));
    for (const [, space, member] of code.matchAll(/\b(\w+)\.(\w+)/g)) {
      if (spaces.has(space)) visit(spaces.get(space), member);
    }
    for (const word of code.match(/\b[A-Za-z_]\w*\b/g)) {
      if (declared.has(word) || imported.has(word)) visit(path, word);
    }
  };
  for (const { target, name } of exported) visit(target, name);
  return owner;
}

/** The text of one declaration file for what `index` exports. */
export function joinDeclarations(index) {
  const files = new Files();
  const { exported, needed } = files.of(index);
  const owner = reach(files, exported);
  const isPublic = new Set(exported.filter(({ name, as }) => name === as).map(({ name }) => name));
  // What a file means by a name, where all of them are one file.
  const meantIn = (path) => (whole, space, name) => {
    const { declared, imported, spaces } = files.of(path);
    if (space !== undefined) return spaces.has(space) ? name : whole;
    // A type of the language, of which the package has a namesake.
    const isOuter = owner.has(name) && !declared.has(name) && !imported.has(name);
    return isOuter ? `globalThis.${name}` : whole;
  };
  const written = [...owner].flatMap(([name, path]) =>
    files
      .of(path)
      .declared.get(name)
      .map((statement) => {
        const text = statement.replace(TYPE_NAME, meantIn(path));
        return isPublic.has(name) ? text : text.replace(/^export /m, "");
      }),
  );
  const global = new Set([...needed, ...owner.values()].flatMap((path) => files.of(path).global));
  const renamed = exported.filter(({ name, as }) => name !== as);
  const last = `export { ${renamed.map(({ name, as }) => `${name} as ${as}`).join(", ")} };`;
  return `${[...global, ...written, last].join("\n")}\n`;
}
