import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { QUICK, WorkerProcess } from "../processes/worker-process.js";

export type Start = () => WorkerProcess;

/**
 * Gives `use` a directory in memory, something that starts the process to be killed, and a directory on a device;
 * afterwards all of it is ended and removed.
 */
export async function with_program(
  use: (quick_directory: string, start: Start, directory: string) => Promise<void>,
): Promise<void> {
  const quick_directory = fs.mkdtempSync(join(QUICK, "drafts-"));
  const directory = fs.mkdtempSync(join(os.tmpdir(), "drafts-"));
  const started: WorkerProcess[] = [];
  try {
    const program = join(directory, "program.mjs");
    await build({
      entryPoints: [fileURLToPath(new URL("program.ts", import.meta.url))],
      outfile: program,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      minify: true,
    });
    const start = () => {
      const worker = new WorkerProcess(program);
      started.push(worker);
      return worker;
    };
    await use(quick_directory, start, directory);
  } finally {
    await Promise.all(started.map((worker) => worker.kill()));
    fs.rmSync(quick_directory, { recursive: true, force: true });
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
