/**
 * Finds cycles between files. `no-cycle` of other plugins passes over `import type`; a cycle of types, too, joins two
 * files that cannot be read apart.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import ts from "typescript";

const ROOT = resolve(import.meta.dirname, "../..");
const ALIASES = ts.readConfigFile(resolve(ROOT, "tsconfig.json"), (path) => readFileSync(path, "utf8")).config
  .compilerOptions.paths;

/** Imports by file, as they were when the file was first read. */
const known = new Map();

/** Returns the imports of a file that lead back to the file, each with a shortest way back. */
export function cyclic_imports(file, text) {
  known.set(file, imports_of(file, text));
  return known.get(file).flatMap(({ target, position }) => {
    const way = way_between(target, file);
    return way === undefined ? [] : [{ position, path: [file, ...way].map((one) => relative(ROOT, one)) }];
  });
}

/** Reads imports and re-exports, of types and of values, static and dynamic. */
function imports_of(file, text) {
  return ts.preProcessFile(text, true, true).importedFiles.flatMap(({ fileName: name, pos: position }) => {
    const target = resolved(file, name);
    return target === undefined ? [] : [{ target, position }];
  });
}

function resolved(file, name) {
  const path = name.startsWith(".") ? resolve(dirname(file), name) : ALIASES[name]?.map((one) => resolve(ROOT, one))[0];
  const source = path?.replace(/\.js$/, ".ts");
  return [source, path].find((one) => one !== undefined && existsSync(one));
}

function targets_of(file) {
  if (!known.has(file)) {
    known.set(file, imports_of(file, readFileSync(file, "utf8")));
  }
  return known.get(file).map(({ target }) => target);
}

/** Finds a shortest way along imports; both ends are part of the way. */
function way_between(from, to) {
  const ways = [[from]];
  const seen = new Set([from]);
  for (const way of ways) {
    const last = way.at(-1);
    if (last === to) {
      return way;
    }
    for (const next of targets_of(last).filter((target) => !seen.has(target))) {
      seen.add(next);
      ways.push([...way, next]);
    }
  }
  return undefined;
}
