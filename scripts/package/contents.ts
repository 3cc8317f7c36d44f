/** Checks the installed package: its files, their sizes, fields of package.json, links of its documents. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { broken, leads_elsewhere, links_of } from "../../test/docs/links.js";

const DOCUMENTS = ["CHANGELOG.md", "EXTENSIBILITY.md", "LICENSE", "README.md", "package.json"];
const FOLDERS = ["dist", "docs"];
/** Documents all of whose links stay in the package and its repository. */
const WITHOUT_OTHER_LINKS = ["README.md", "EXTENSIBILITY.md"];

/** The bound before the package has a command line, a viewer and pictures; with these it is 2 MB. */
const MAX_UNPACKED_BYTES = 1_200_000;
const MAX_PACKED_BYTES = 500_000;

const REPOSITORY = "https://github.com/simulacra-ai/simulacra";
/** Fields of package.json, as the published package has them. */
const FIELDS: Readonly<Record<string, unknown>> = {
  repository: { type: "git", url: `git+${REPOSITORY}.git`, directory: "packages/session" },
  homepage: REPOSITORY,
  bugs: { url: `${REPOSITORY}/issues` },
};
const KEYWORDS = ["ai", "llm", "agent"];
/** Keys of package.json that would have something fetched or run at the installing side. */
const FORBIDDEN_KEYS = ["dependencies", "optionalDependencies", "bundleDependencies", "bundledDependencies"];
const FORBIDDEN_SCRIPTS = ["preinstall", "install", "postinstall", "prepare"];

interface Manifest extends Record<string, unknown> {
  keywords?: string[];
  scripts?: Record<string, string>;
}

function files_of(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(directory, name)).isFile())
    .map((name) => name.split(sep).join("/"));
}

/** @returns what is missing, and what should not be there. */
export function wrong_contents(installed: string, entry_files: readonly string[]): string[] {
  const names = files_of(installed);
  const expected = [...DOCUMENTS, ...entry_files.map((name) => `dist/${name}`)];
  const is_wanted = (name: string) => DOCUMENTS.includes(name) || FOLDERS.includes(name.split("/", 1)[0] ?? "");
  const is_map = (name: string) => name.endsWith(".map");
  const names_map = (name: string) => /\.[cm]?js$/.test(name) && read(installed, name).includes("sourceMappingURL=");
  return [
    ...expected.filter((name) => !names.includes(name)).map((name) => `${name} is missing`),
    ...(names.some((name) => name.startsWith("docs/")) ? [] : ["docs/ is missing"]),
    ...names.filter((name) => !is_wanted(name)).map((name) => `${name} is not wanted`),
    ...names.filter((name) => is_map(name) || names_map(name)).map((name) => `${name} is, or names, a source map`),
  ];
}

/** @returns the sizes that are too large. Prints both. */
export function large_sizes(installed: string, tarball: string): string[] {
  const unpacked = files_of(installed).reduce((sum, name) => sum + statSync(join(installed, name)).size, 0);
  const packed = statSync(tarball).size;
  process.stdout.write(`  unpacked: ${unpacked} bytes, at most ${MAX_UNPACKED_BYTES}\n`);
  process.stdout.write(`  packed: ${packed} bytes, at most ${MAX_PACKED_BYTES}\n`);
  return [
    ...(unpacked > MAX_UNPACKED_BYTES ? [`unpacked: ${unpacked} bytes`] : []),
    ...(packed > MAX_PACKED_BYTES ? [`packed: ${packed} bytes`] : []),
  ];
}

/** @returns the fields of package.json that are wrong. */
export function wrong_fields(installed: string): string[] {
  const manifest = JSON.parse(read(installed, "package.json")) as Manifest;
  return [
    ...FORBIDDEN_KEYS.filter((key) => key in manifest),
    ...FORBIDDEN_SCRIPTS.filter((script) => script in (manifest.scripts ?? {})),
    ...Object.keys(FIELDS).filter((key) => !isDeepStrictEqual(manifest[key], FIELDS[key])),
    ...KEYWORDS.filter((word) => manifest.keywords?.includes(word) !== true).map((word) => `keyword ${word}`),
  ];
}

/** @returns the links that lead nowhere in the package, and those that lead out of it and of its repository. */
export function wrong_links(installed: string): string[] {
  const root = pathToFileURL(`${installed}/`);
  return files_of(installed)
    .filter((name) => name.endsWith(".md"))
    .flatMap((document) =>
      links_of(read(installed, document)).flatMap((link) => {
        const is_elsewhere = WITHOUT_OTHER_LINKS.includes(document) && leads_elsewhere(link);
        const problem = is_elsewhere ? `${link} leads elsewhere` : broken(document, link, root);
        return problem === undefined ? [] : [`${document}: ${problem}`];
      }),
    );
}

/**
 * @returns the classes of stores that the build has renamed, as it does with a class that names itself: a trace tells
 * the class of a store.
 */
export function renamed_stores(dist: string): string[] {
  return readdirSync(dist)
    .filter((name) => /\.[cm]?js$/.test(name))
    .flatMap((name) =>
      Array.from(read(dist, name).matchAll(/ class (_\w*Store)\b/g), ([, type]) => `${type} in ${name}`),
    );
}

function read(directory: string, name: string): string {
  return readFileSync(join(directory, name), "utf8");
}
