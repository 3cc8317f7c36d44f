import { execFile, fork } from "node:child_process";
import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { new_directory } from "../../support/temporary-directory.js";
import type { FirstFinding } from "./first-finding.js";
import type { SourceMutation } from "./mutations.js";

const PROJECT = fileURLToPath(new URL("../../../", import.meta.url));
const COPIED = ["src", "test", "package.json", "tsconfig.json", "vitest.config.ts"];
const run = promisify(execFile);

/** Time that the short form of the search takes. */
const SEARCH_S = 15;
/** For the whole process, however busy the machine is. */
const LIMIT_MS = 120_000;

export interface TestOutcome {
  passed: number;
  /** Names of the tests that failed. */
  failed: string[];
}

/** A copy of this project whose source can be changed. */
export class MutatedProject {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async create(): Promise<MutatedProject> {
    const place = path.join(PROJECT, ".tmp");
    await mkdir(place, { recursive: true });
    const root = new_directory(place).path;
    for (const name of COPIED) {
      await cp(path.join(PROJECT, name), path.join(root, name), { recursive: true });
    }
    await symlink(path.join(PROJECT, "node_modules"), path.join(root, "node_modules"));
    return new MutatedProject(root);
  }

  async remove(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true, maxRetries: 5 });
  }

  /** @throws where the text to be replaced does not occur exactly once. */
  async with_mutation<T>({ file, find, replace }: SourceMutation, task: () => Promise<T>): Promise<T> {
    const place = path.join(this.#root, "src", file);
    const source = await readFile(place, "utf8");
    const parts = source.split(find);
    if (parts.length !== 2) {
      throw new Error(`src/${file} holds the text ${parts.length - 1} times: ${find}`);
    }
    await writeFile(place, parts.join(replace));
    try {
      return await task();
    } finally {
      await writeFile(place, source);
    }
  }

  /** Searches from seed 1 on, until something is found or the time is over. */
  search(): Promise<FirstFinding> {
    const script = path.join(this.#root, "test/verification/manager-calls/first-finding.ts");
    const child = fork(script, [String(SEARCH_S)], {
      cwd: this.#root,
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
    return new Promise<FirstFinding>((resolve, reject) => {
      child.on("message", (found: FirstFinding) => resolve(found));
      child.on("error", reject);
      child.on("exit", (code, signal) => reject(new Error(`the search ended with ${code ?? signal}`)));
    }).finally(() => {
      clearTimeout(limit);
      child.kill("SIGKILL"); // what the fault left behind may never end
    });
  }

  /** Runs the tests of some files, or those of them whose names match. */
  async test(files: readonly string[], pattern?: string): Promise<TestOutcome> {
    const outcome = path.join(this.#root, "outcome.json");
    const names = files.map((file) => path.posix.join("test", file));
    const args = ["node_modules/vitest/vitest.mjs", "run", ...names, ...(pattern === undefined ? [] : ["-t", pattern])];
    await rm(outcome, { force: true });
    await run(process.execPath, [...args, "--reporter=json", `--outputFile=${outcome}`], {
      cwd: this.#root,
      timeout: LIMIT_MS,
    }).catch(() => undefined); // tests fail
    const report = JSON.parse(await readFile(outcome, "utf8")) as JsonReport;
    const results = report.testResults.flatMap((file) => file.assertionResults);
    const failed = results.filter((result) => result.status === "failed").map((result) => result.fullName);
    return { passed: report.numPassedTests, failed };
  }
}

interface JsonReport {
  numPassedTests: number;
  testResults: { assertionResults: { status: string; fullName: string }[] }[];
}
