import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { text } from "node:stream/consumers";
import { bundle } from "../../support/bundle.js";
import { new_directory } from "../../support/temporary-directory.js";
import { make_rounds } from "../budget.js";
import type { LargeTask } from "../large/program.js";
import type { Method } from "../method.js";

/** More than one string or one parse can hold. */
const LARGE = [
  { format: "json", mib: 600 },
  { format: "ndjson", mib: 600 },
] as const;
/** More than one buffer or one read can hold on some systems. */
const LARGEST = LARGE.map(({ format }) => ({ format, mib: 2_100 }));

/** Sessions that no string can hold are written, read, compacted, listed, verified, damaged and repaired. */
export const LARGE_SESSIONS: Method = {
  name: "large sessions",
  async run({ full, until }) {
    const losses: string[] = [];
    const { path, remove } = new_directory();
    const { program } = await bundle(new URL("../large/program.ts", import.meta.url), path);
    try {
      const sessions = full ? [...LARGE, ...LARGEST] : LARGE.slice(0, 1);
      const progress = await make_rounds(sessions, { until }, async ({ format, mib }) => {
        const root = new_directory();
        const task: LargeTask = { root: root.path, format, mib };
        const heap = `--max-old-space-size=${3 * mib + 1000}`;
        const child = spawn(process.execPath, [heap, program, JSON.stringify(task)]);
        const [told, problem] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
        root.remove();
        const lines = told.split("\n").filter((line) => line !== "");
        const found = lines.at(-1) === "done" ? lines.slice(0, -1) : [...lines, problem.slice(0, 2000)];
        losses.push(...found.map((line) => `${format}, ${mib} MiB: ${line}`));
      });
      return { rounds: progress.done, unit: "sessions", progress, losses };
    } finally {
      remove();
    }
  },
};
