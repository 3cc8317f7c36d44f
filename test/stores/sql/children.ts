import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import type { Task } from "./child.js";

/** Other processes, bundled once, that begin together when all of them have started. Resolves with what each printed. */
export function use_children(): (tasks: Task[]) => Promise<string[]> {
  let directory = "";
  beforeAll(async () => {
    directory = fs.mkdtempSync(join(os.tmpdir(), "sql-child-"));
    await build({
      entryPoints: [new URL("child.ts", import.meta.url).pathname],
      outfile: join(directory, "child.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["pg-native", "pg-cloudflare"],
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
      logLevel: "error",
    });
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));
  return async (tasks) => {
    const all = tasks.map((task) => start(join(directory, "child.mjs"), task));
    await Promise.all(all.map(({ ready }) => ready));
    all.forEach(({ go }) => go());
    return Promise.all(all.map(({ ended }) => ended));
  };
}

function start(program: string, task: Task) {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ["pipe", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  const ended = new Promise<string>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve(output.trim()));
  });
  const ready = new Promise<void>((resolve) => {
    void ended.finally(resolve);
    const heard = (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("ready\n")) {
        resolve();
      }
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
  });
  child.stdin.on("error", (error) => (output += String(error)));
  return { ready, ended, go: () => void child.stdin.write("go\n") };
}
