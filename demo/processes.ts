import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("..", import.meta.url));
const PATIENCE_MS = 50_000;
const LOADER = ["--import", import.meta.resolve("tsx")];

/** Another process of the demo; one that hangs is killed. */
export function start(script: string, args: string[], stdio: StdioOptions): ChildProcess {
  return spawn(process.execPath, [...LOADER, join(REPOSITORY, "demo", script), ...args], {
    cwd: REPOSITORY,
    stdio,
    signal: AbortSignal.timeout(PATIENCE_MS),
    killSignal: "SIGKILL",
  });
}

export async function end_of(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const closed = once(child, "close").catch((cause: unknown) => {
    throw new Error(`a process of the demo did not start, or not end in ${PATIENCE_MS / 1000} s`, { cause });
  });
  const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null];
  return { code, signal };
}
