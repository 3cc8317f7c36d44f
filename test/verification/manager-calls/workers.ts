import { fork } from "node:child_process";
import os from "node:os";
import type { Found, Task } from "./search.js";

type Told = { is_ready: true } | { line: string } | { found: Found } | { error: string };

/** Searches in one process for each core; the seeds are dealt out in turn. */
export async function search_in_processes(
  task: Omit<Task, "step">,
  tell: ((line: string) => void) | undefined,
): Promise<Found[]> {
  const processes = os.availableParallelism();
  const share = (n: number): Task => ({
    ...task,
    first: task.first + n,
    step: processes,
    count: Math.ceil(task.count / processes),
  });
  return Promise.all(Array.from({ length: processes }, (_, n) => search_in_process(share(n), tell)));
}

function search_in_process(task: Task, tell: ((line: string) => void) | undefined): Promise<Found> {
  const child = fork(new URL("worker.ts", import.meta.url).pathname, {
    execArgv: ["--import", "tsx", "--max-semi-space-size=32"],
  });
  return new Promise<Found>((resolve, reject) => {
    child.on("exit", (code, signal) => reject(new Error(`a process that searches ended with ${code ?? signal}`)));
    child.on("message", (told: Told) => {
      if ("is_ready" in told) {
        child.send(task);
      } else if ("line" in told) {
        tell?.(told.line);
      } else if ("found" in told) {
        resolve(told.found);
      } else {
        reject(new Error(told.error));
      }
    });
  }).finally(() => child.kill());
}
