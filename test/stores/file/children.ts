import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { bundle, type Bundle } from "../../support/bundle.js";
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
  let bundled: Bundle | undefined;
  beforeAll(async () => void (bundled = await bundle(new URL("child.ts", import.meta.url))));
  afterAll(() => bundled?.remove());
  return (task) => start(bundled?.program ?? "", task);
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
