/**
 * Bundles applications that use the installed package, as esbuild does for Node.js, and measures what of the package
 * stays in them. An entry of the package is one file: what runs at import, and is not known to be pure, stays in all.
 */
import { isBuiltin } from "node:module";
import process from "node:process";
import { build, type Plugin } from "esbuild";

const NAME = "@simulacra-ai/session";

interface Program {
  name: string;
  text: string;
  max_bytes: number;
}

const PROGRAMS: readonly Program[] = [
  {
    name: "the memory store",
    text: `import { InMemorySessionStore } from "${NAME}"; console.log(new InMemorySessionStore());`,
    max_bytes: 25 * 1024,
  },
  {
    name: "the manager and the file store",
    text: `import { FileSessionStore, SessionManager } from "${NAME}"; console.log(SessionManager, FileSessionStore);`,
    max_bytes: 125 * 1024,
  },
];

/** Constants, which esbuild keeps where their values are products. */
const MAX_UNUSED_BYTES = 500;

/** Ignores `sideEffects` of package.json, which hides what runs at import. Built-in modules do nothing at import. */
const ALL_EFFECTS: Plugin = {
  name: "all-effects",
  setup(bundler) {
    bundler.onResolve({ filter: /.*/ }, async (found) => {
      if (isBuiltin(found.path)) {
        return { path: found.path, external: true, sideEffects: false };
      }
      if (found.pluginData === ALL_EFFECTS) {
        return undefined;
      }
      const { kind, resolveDir: directory } = found;
      const resolved = await bundler.resolve(found.path, { kind, resolveDir: directory, pluginData: ALL_EFFECTS });
      return { ...resolved, sideEffects: true };
    });
  },
};

async function bundle(project: string, text: string, plugins: Plugin[] = []): Promise<string> {
  const result = await build({
    stdin: { contents: text, resolveDir: project },
    bundle: true,
    minify: true,
    platform: "node",
    target: "node20",
    format: "esm",
    logLevel: "error",
    write: false,
    plugins,
  });
  return result.outputFiles[0]?.text ?? "";
}

/** @returns the bundles that are too large. Prints the size of each. */
export async function large_bundles(project: string): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, text, max_bytes } of PROGRAMS) {
    const bytes = Buffer.byteLength(await bundle(project, text));
    process.stdout.write(`  ${name}: ${bytes} bytes, at most ${max_bytes}\n`);
    if (bytes > max_bytes) {
      problems.push(`${name}: ${bytes} bytes`);
    }
  }
  return problems;
}

/** @returns the beginning of what stays of an import that nothing uses, if that is more than constants. */
export async function effects_at_import(project: string): Promise<string[]> {
  const rest = await bundle(project, `import "${NAME}";`, [ALL_EFFECTS]);
  const bytes = Buffer.byteLength(rest);
  process.stdout.write(`  ${bytes} bytes, at most ${MAX_UNUSED_BYTES}\n`);
  return bytes > MAX_UNUSED_BYTES ? [`${bytes} bytes: ${rest.slice(0, 300)}`] : [];
}
