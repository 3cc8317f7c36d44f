/** Packs the package, and checks and uses the tarball the way applications meet it. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import ts from "typescript";
import { effects_at_import, large_bundles } from "./package/bundles.js";
import { large_sizes, renamed_stores, wrong_contents, wrong_fields, wrong_links } from "./package/contents.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CORE = "@simulacra-ai/core";
const ENTRIES = ["index", "sql", "redis", "conformance"];
const ENTRY_FILES = ENTRIES.flatMap((name) => ["cjs", "d.cts", "d.ts", "js"].map((ending) => `${name}.${ending}`));
/** What an entry may import beside built-in modules: an optional peer. */
const PEERS: Readonly<Record<string, readonly string[]>> = { sql: ["kysely"] };

function run(command: string, args: string[], cwd: string): void {
  execFileSync(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
}

function require_none(problems: string[], what: string): void {
  if (problems.length > 0) {
    throw new Error(`${what}: ${problems.join(", ")}`);
  }
}

function pack(directory: string): string {
  run("npm", ["pack", "--silent", "--pack-destination", directory], ROOT);
  const [tarball, ...others] = readdirSync(directory).filter((name) => name.endsWith(".tgz"));
  if (tarball === undefined || others.length > 0) {
    throw new Error("npm pack did not make one tarball");
  }
  return join(directory, tarball);
}

/** Every message counts, suggestions included. */
async function lint_package(tarball: string): Promise<string[]> {
  const bytes = Uint8Array.from(readFileSync(tarball)).buffer;
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, level: "suggestion", strict: true });
  return messages.map((message) => formatMessage(message, pkg, { color: false }) ?? message.code);
}

function check_type_resolution(tarball: string): void {
  const cli = join(ROOT, "node_modules/@arethetypeswrong/cli/dist/index.js");
  run(process.execPath, [cli, tarball, "--profile", "strict", "--no-emoji", "--no-color"], ROOT);
}

/** The cache is empty and the registry out of reach: whatever is needed beside the tarball makes this fail. */
function install(tarball: string, project: string, cache: string): string {
  cpSync(join(ROOT, "test/package/project"), project, { recursive: true });
  run("npm", ["install", tarball, "--no-save", "--offline", "--no-audit", "--no-fund", "--cache", cache], project);
  if (existsSync(join(project, "node_modules", CORE))) {
    throw new Error(`${CORE} was installed`);
  }
  return join(project, "node_modules/@simulacra-ai/session");
}

/** Whatever is imported, statically or not, or required. */
function imports_of(file: string): string[] {
  return ts.preProcessFile(readFileSync(file, "utf8"), true, true).importedFiles.map((imported) => imported.fileName);
}

/** What runs imports built-in modules and other files of the package, and nothing else. */
function check_imports(dist: string): void {
  const problems: string[] = [];
  for (const name of readdirSync(dist).filter((name) => /\.[cm]?js$/.test(name))) {
    for (const specifier of imports_of(join(dist, name))) {
      const is_own = specifier.startsWith("./") && existsSync(join(dist, specifier));
      const is_peer = PEERS[name.split(".")[0] ?? ""]?.includes(specifier) === true;
      if (!is_own && !is_peer && !(specifier.startsWith("node:") && isBuiltin(specifier))) {
        problems.push(`${specifier} in ${name}`);
      }
    }
  }
  require_none(problems, "imported at run time");
}

function declared_names(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest);
  return source.statements.flatMap((statement) =>
    ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement) || ts.isClassDeclaration(statement)
      ? [statement.name?.text ?? "default"]
      : [],
  );
}

/** The declarations take the engine's types from the engine, and carry none of the stand-in's. */
function check_declarations(dist: string): void {
  const stand_in = ["types.ts", "conversation.ts"].map((name) => join(ROOT, "test/core/src", name));
  const engine_types = new Set(stand_in.flatMap(declared_names));
  for (const name of ENTRY_FILES.filter((name) => name.includes(".d."))) {
    const file = join(dist, name);
    const specifiers = imports_of(file);
    const allowed = [CORE, ...(PEERS[name.split(".")[0] ?? ""] ?? [])];
    require_none(
      specifiers.filter((specifier) => !specifier.startsWith("./") && !allowed.includes(specifier)),
      `imported by ${name}`,
    );
    if (name.startsWith("index.") && !specifiers.includes(CORE) && !specifiers.some((one) => one.startsWith("./"))) {
      throw new Error(`${name} does not import ${CORE}`);
    }
    require_none(
      declared_names(file).filter((type) => engine_types.has(type)),
      `types of the engine declared in ${name}`,
    );
  }
}

/** The engine's place is taken by declarations alone, in this project only. */
function check_types(project: string): void {
  cpSync(join(project, "core"), join(project, "node_modules", CORE), { recursive: true });
  cpSync(join(project, "consumer.mts"), join(project, "consumer.cts"));
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  run(process.execPath, [compiler, "--project", "."], project);
}

const directory = mkdtempSync(join(tmpdir(), "package-"));
try {
  const tarball = pack(directory);
  const project = join(directory, "project");
  const installed = install(tarball, project, join(directory, "cache"));
  const dist = join(installed, "dist");
  const checks: [string, () => void | string[] | Promise<void | string[]>][] = [
    ["the tarball holds what it should, and nothing else", () => wrong_contents(installed, ENTRY_FILES)],
    ["it is small", () => large_sizes(installed, tarball)],
    ["package.json says where it is from, and has nothing fetched or run", () => wrong_fields(installed)],
    ["the links of its documents lead into it, or its repository", () => wrong_links(installed)],
    ["a bundle has what is used of it, and no more", () => large_bundles(project)],
    ["nothing runs at import", () => effects_at_import(project)],
    ["the classes of stores keep their names", () => renamed_stores(dist)],
    ["publint has nothing to say", () => lint_package(tarball)],
    ["the types resolve in every mode", () => check_type_resolution(tarball)],
    ["at run time only built-in modules are imported", () => check_imports(dist)],
    ["the engine's types come from the engine", () => check_declarations(dist)],
    ["an ES module uses it without the engine", () => run(process.execPath, ["run.mjs"], project)],
    ["a CommonJS module uses it without the engine", () => run(process.execPath, ["run.cjs"], project)],
    ["strict consumers compile, as ES module and CommonJS", () => check_types(project)],
  ];
  for (const [name, check] of checks) {
    process.stdout.write(`- ${name}\n`);
    require_none((await check()) ?? [], name);
  }
  process.stdout.write(`${relative(directory, tarball)}: ${checks.length} checks passed\n`);
} finally {
  rmSync(directory, { recursive: true });
}
