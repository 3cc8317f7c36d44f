import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Runs a script of this directory in a process of its own. Returns what it sends. */
export async function in_a_fresh_process<Report>(
  script: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<Report> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const options = { execArgv: ["--import", import.meta.resolve("tsx"), "--expose-gc"], ...(signal && { signal }) };
  const worker = fork(path, args, options);
  let report: Report | undefined;
  worker.on("message", (message) => (report = message as Report));
  const [code] = (await once(worker, "close")) as [number | null];
  if (report === undefined) {
    throw new Error(`${script} ${args.join(" ")} failed (exit code ${code})`);
  }
  return report;
}
