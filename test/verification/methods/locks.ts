import fs from "node:fs";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { SessionLock } from "../../../src/stores/file/lock/session-lock.js";
import { SessionPaths } from "../../../src/stores/file/session-paths.js";
import { locks_are_files } from "../lock-kind.js";
import { make_rounds, sum_of, type Progress } from "../budget.js";
import type { Method } from "../method.js";
import { AGING_LOCKS, DEAD_LOCKS } from "../processes/dead-locks.js";
import { with_processes } from "../processes/worker-process.js";

/** The options of the locks. */
const PATIENCE = { lock_timeout_ms: 60_000, file_mode: 0o600 };

const CONTENDERS = 8;
/** So many locks of the dead are contended for, however little time there is. */
const LEAST_DEAD = 20;

/**
 * Several processes want a lock whose holder is dead, all at once: there are never two that have it, and each gets it in
 * the end. The first round is about many locks that have to age.
 */
export const LOCKS: Method = {
  name: "stale locks",
  async run({ full, until }) {
    const dead = repeated(DEAD_LOCKS, full ? 200 : 30);
    const aging = repeated(AGING_LOCKS, full ? 24 : 3);
    const contenders = full ? CONTENDERS : 4;
    const losses: string[] = [];
    let takeovers: Progress[] = [];
    await with_processes(async (root, start) => {
      const lock = await SessionLock.acquire(NODE_FILE_LAYER, new SessionPaths(root, "own"), PATIENCE);
      const own = locks_are_files() ? fs.readFileSync(`${root}/own.lock`, "utf8") : fs.readlinkSync(`${root}/own.lock`);
      await lock.release();
      const workers = Array.from({ length: contenders }, () => start());
      workers.forEach((worker) => worker.run({ kind: "contend", root, clock_rate: full ? 1 : 20 }));
      await Promise.all(workers.map((worker) => worker.said("ready")));
      let round = 0;
      const contend = async (ids: readonly string[]) => {
        round += 1;
        workers.forEach((worker) => worker.tell(ids.join(" ")));
        const all = Promise.all(workers.map((worker) => worker.said("round", round)));
        const patience = new Promise((resolve) => setTimeout(resolve, 60_000, "late").unref());
        if ((await Promise.race([all, patience])) === "late") {
          losses.push(`nobody gets the lock of ${ids.join()}: ${fs.readdirSync(root).join()}`);
          await Promise.all(workers.map((worker) => worker.kill()));
        }
      };
      aging.forEach((kind, n) => kind.leave(root, `t${n}`, own, 2 * n));
      await contend(aging.map((_, n) => `t${n}`));
      const made = await make_rounds([...dead.entries()], { until, least: LEAST_DEAD }, ([n, kind]) => {
        kind.leave(root, `s${n}`, own, 2 * n);
        return contend([`s${n}`]);
      });
      takeovers = [{ done: aging.length, planned: aging.length }, made];
      for (const worker of workers) {
        losses.push(...worker.lines.filter((line) => /^(both|error)/.test(line)).map((line) => named(line)));
      }
      losses.push(
        ...fs
          .readdirSync(root)
          .filter((name) => /\.(lock|tmp|held)$/.test(name))
          .map((name) => `left: ${name}`),
      );
    });
    const named_rounds = `${contenders} contenders, ${aging.length} locks that had to age`;
    const progress = sum_of(takeovers);
    return { rounds: progress.done, unit: "takeovers", progress, losses, note: named_rounds };

    function named(line: string): string {
      const [, kind = "s", n = "0"] = /\b([st])(\d+)\b/.exec(line) ?? [];
      return `${(kind === "s" ? dead : aging)[Number(n)]?.name}: ${line}`;
    }
  },
};

function repeated<T>(of: readonly T[], count: number): T[] {
  return Array.from({ length: count }, (_, n) => of[n % of.length] as T);
}
