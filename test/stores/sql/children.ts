import { spawn } from "node:child_process";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { bundle, type Bundle } from "../../support/bundle.js";
import type { Task } from "./child.js";

/** Other processes, bundled once, that begin together when all of them have started. Resolves with what each printed. */
export function use_children(): (tasks: Task[]) => Promise<string[]> {
  let bundled: Bundle | undefined;
  beforeAll(async () => void (bundled = await bundle(new URL("child.ts", import.meta.url))));
  afterAll(() => bundled?.remove());
  return async (tasks) => {
    const all = tasks.map((task) => start(bundled?.program ?? "", task));
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
