import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { build } from "tsup";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import type { Task } from "./child.js";

export interface Child {
  process: ChildProcessWithoutNullStreams;
  /** Resolves when the child has printed this line. */
  printed(line: string): Promise<void>;
  /** Resolves with all lines when the child has ended. */
  ended: Promise<{ lines: string[]; signal: string | null; errors: string }>;
}

/** Second processes for the tests of a file: the program is bundled once, so that one starts in no time. */
export function use_children(): (task: Task) => Child {
  let directory = "";
  beforeAll(async () => {
    directory = fs.mkdtempSync(join(os.tmpdir(), "child-"));
    const entry = { child: new URL("child.ts", import.meta.url).pathname };
    await build({
      entry,
      outDir: directory,
      format: ["esm"],
      target: "node20",
      silent: true,
      config: false,
      dts: false,
    });
    const [name = ""] = fs.readdirSync(directory);
    fs.renameSync(join(directory, name), join(directory, "child.mjs"));
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));
  return (task) => start(join(directory, "child.mjs"), task);
}

function start(program: string, task: Task): Child {
  const child = spawn(process.execPath, [program, JSON.stringify(task)]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let [output, errors] = ["", ""];
  const waiting = new Map<string, () => void>();
  const lines = () => output.split("\n").filter((line) => line !== "");
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    for (const line of lines()) {
      waiting.get(line)?.();
    }
  });
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.on("error", (error) => (errors += String(error)));
  const ended = new Promise<{ lines: string[]; signal: string | null; errors: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (_, signal) => resolve({ lines: lines(), signal, errors }));
  });
  return {
    process: child,
    ended,
    printed: (line) =>
      new Promise((resolve, reject) => {
        waiting.set(line, resolve);
        if (lines().includes(line)) {
          resolve();
        }
        void ended.then(() => reject(new Error(`the child ended without ${line}: ${output} ${errors}`)));
      }),
  };
}
