/** Packs the package, and checks and uses the tarball the way applications meet it. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CORE = "@simulacra-ai/core";
const DOCUMENTS = ["CHANGELOG.md", "EXTENSIBILITY.md", "LICENSE", "README.md", "package.json"];
const ENTRIES = ["index", "sql", "redis", "conformance"];
const ENTRY_FILES = ENTRIES.flatMap((name) => ["cjs", "d.cts", "d.ts", "js"].map((ending) => `${name}.${ending}`));
/** What an entry may import beside built-in modules: an optional peer. */
const PEERS: Readonly<Record<string, readonly string[]>> = { sql: ["kysely"] };
/** Keys of package.json that would have something fetched or run at the installing side. */
const FORBIDDEN_KEYS = ["dependencies", "optionalDependencies", "bundleDependencies", "bundledDependencies"];
const FORBIDDEN_SCRIPTS = ["preinstall", "install", "postinstall", "prepare"];

interface Manifest extends Record<string, unknown> {
  name: string;
  scripts?: Record<string, string>;
}

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
async function lint_package(tarball: string): Promise<void> {
  const bytes = Uint8Array.from(readFileSync(tarball)).buffer;
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, level: "suggestion", strict: true });
  require_none(
    messages.map((message) => formatMessage(message, pkg, { color: false }) ?? message.code),
    "publint",
  );
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

function check_contents(installed: string): void {
  const names = readdirSync(installed, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(installed, name)).isFile())
    .map((name) => name.split(sep).join("/"));
  const expected = [...DOCUMENTS, ...ENTRY_FILES.map((name) => `dist/${name}`)];
  require_none(
    expected.filter((name) => !names.includes(name)),
    "missing in the tarball",
  );
  require_none(
    names.filter((name) => !DOCUMENTS.includes(name) && !name.startsWith("dist/")),
    "not wanted in the tarball",
  );
}

function check_manifest(installed: string): void {
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as Manifest;
  require_none(
    [
      ...FORBIDDEN_KEYS.filter((key) => key in manifest),
      ...FORBIDDEN_SCRIPTS.filter((script) => script in (manifest.scripts ?? {})),
    ],
    "not wanted in package.json",
  );
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
  const checks: [string, () => void | Promise<void>][] = [
    ["the tarball holds what it should, and nothing else", () => check_contents(installed)],
    ["nothing is fetched or run at the installing side", () => check_manifest(installed)],
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
    await check();
  }
  process.stdout.write(`${relative(directory, tarball)}: ${checks.length} checks passed\n`);
} finally {
  rmSync(directory, { recursive: true });
}
