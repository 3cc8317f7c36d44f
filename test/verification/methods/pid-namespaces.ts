import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { in_proportion, make_rounds } from "../budget.js";
import type { Method } from "../method.js";
import { losses_of_appends } from "../processes/check-writers.js";
import { leftovers_after_next_writer } from "../processes/kill-check.js";
import { stop_holders } from "../processes/stopped-holders.js";
import { with_processes, type StartProcess } from "../processes/worker-process.js";

const FORMATS = ["json", "ndjson"] as const;
/** As a container runs its processes: with numbers of their own. */
const ELSEWHERE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/**
 * Processes in containers of their own use the same sessions; none can tell whether another lives. Locks that change are
 * never broken; of a holder that is stopped the lock is, and neither loses what was acknowledged.
 */
export const PID_NAMESPACES: Method = {
  name: "pid namespaces",
  unavailable() {
    const [command = "", ...rest] = ELSEWHERE;
    const { status, error } = spawnSync(command, [...rest, "true"]);
    return error === undefined && status === 0 ? undefined : "pid namespaces cannot be made here (root, Linux)";
  },
  async run({ full, seed, until }) {
    const losses: string[] = [];
    let rounds = 0;
    const progress = await with_processes((directory, start) => {
      const kinds = FORMATS.flatMap((format) => {
        const write = async () => {
          const written = await write_side_by_side(join(directory, `${format}-written`), start, { full, seed, format });
          losses.push(...written.losses.map((loss) => `${format}: ${loss}`));
          rounds += written.count;
        };
        const stops = (full ? [1, 3] : [1]).map((first) => async () => {
          const stopped = await stop_holders(join(directory, `${format}-${first}`), start, {
            ...(full ? { step: 4, clock_rate: 1, stopped_ms: 11_000 } : { step: 20, clock_rate: 20, stopped_ms: 1000 }),
            first,
            format,
            is_judged: false,
            wrapper: ELSEWHERE,
          });
          losses.push(...stopped.losses.map((loss) => `${format}: ${loss}`));
          rounds += stopped.stopped;
        });
        return [[write], stops];
      });
      const limits = { until, least: kinds.length, lanes: kinds.length };
      return make_rounds(in_proportion(kinds), limits, (make) => make());
    });
    return { rounds, unit: "writes and stops", progress: { ...progress, of: "runs" }, losses };
  },
};

/** For longer than a lock ages. */
async function write_side_by_side(
  root: string,
  start: StartProcess,
  { full, seed, format }: { full: boolean; seed: number; format: FileSessionFormat },
) {
  await new FileSessionStore(root, { format }).save("s", []);
  const count = full ? 120 : 8;
  const tasks = Array.from({ length: 4 }, (_, n) => {
    return { root, format, sessions: ["s"], name: `w${n}`, seed: seed * 10 + n, first: 0, count };
  });
  const workers = tasks.map((task, n) => {
    const worker = start(n < 3 ? ELSEWHERE : []);
    worker.run({ kind: "append", ...task, pause_ms: 100, clock_rate: full ? 1 : 10 });
    return worker;
  });
  await Promise.all(workers.map((worker) => worker.ended));
  const losses = workers.flatMap((worker) => worker.lines).filter((line) => !line.startsWith("stored"));
  losses.push(...(await losses_of_appends(root, tasks)));
  losses.push(...(await leftovers_after_next_writer(root, new FileSessionStore(root))));
  return { losses, count: tasks.length * count };
}
