import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { in_proportion, make_rounds } from "../budget.js";
import type { Method } from "../method.js";
import { losses_of_appends } from "../processes/check-writers.js";
import { leftovers_after_next_writer } from "../processes/kill-check.js";
import { stop_holders } from "../processes/stopped-holders.js";
import { with_processes, type StartProcess } from "../processes/worker-process.js";

const FORMATS = ["json", "ndjson"] as const;
const CLOCKS = ["+0d", "+1d", "-1d"];

/** A command that runs a process with a clock of its own. How long something takes it measures as before. */
function at(clock: string) {
  return { wrapper: ["faketime", "-f", clock], environment: { FAKETIME_DONT_FAKE_MONOTONIC: "1" } };
}

/** Processes whose clocks are a day apart write the same sessions, one of them out of the others' sight: no lock is stolen. */
export const CLOCKS_APART: Method = {
  name: "clocks a day apart",
  unavailable() {
    return spawnSync("faketime", ["--version"]).error === undefined ? undefined : "faketime is not installed";
  },
  async run({ full, seed, until }) {
    const losses: string[] = [];
    let rounds = 0;
    const progress = await with_processes((directory, start) => {
      const kinds = FORMATS.flatMap((format) => {
        const write = async () => {
          const written = await write_with_clocks(join(directory, format), start, { full, seed, format });
          losses.push(...written.losses.map((loss) => `${format}: ${loss}`));
          rounds += written.count;
        };
        const stops = (full ? ["+1d", "-1d"] : ["+1d"]).map((clock, n) => async () => {
          const result = await stop_holders(join(directory, `${format}-${n}`), start, {
            ...(full ? { step: 5, clock_rate: 1, stopped_ms: 11_000 } : { step: 25, clock_rate: 20, stopped_ms: 1000 }),
            format,
            is_judged: false,
            others: at(clock),
          });
          losses.push(...result.losses.map((loss) => `${format}, a holder that is stopped: ${loss}`));
          rounds += result.stopped;
        });
        return [[write], stops];
      });
      const limits = { until, least: kinds.length, lanes: kinds.length };
      return make_rounds(in_proportion(kinds), limits, (make) => make());
    });
    const note = `clocks ${CLOCKS.join(", ")}, and one that jumps`;
    return { rounds, unit: "writes and stops", progress: { ...progress, of: "runs" }, losses, note };
  },
};

/** Writers that nobody can judge, busy for longer than a lock ages: each lock is another one, and none is broken. */
async function write_with_clocks(
  root: string,
  start: StartProcess,
  { full, seed, format }: { full: boolean; seed: number; format: "json" | "ndjson" },
) {
  await new FileSessionStore(root, { format }).save("s", []);
  const jumping = join(root, "clock");
  fs.writeFileSync(jumping, "+0d");
  const jumps = { wrapper: ["faketime", "-f", "+0d"], environment: { ...at("").environment, FAKETIME_NO_CACHE: "1" } };
  const environments = [
    ...CLOCKS.map(at),
    { ...jumps, wrapper: ["env", `FAKETIME_TIMESTAMP_FILE=${jumping}`, `LD_PRELOAD=${library()}`] },
  ];
  const count = full ? 100 : 8;
  const clock_rate = full ? 1 : 10;
  const tasks = environments.map((_, n) => {
    return { root, format, sessions: ["s"], name: `w${n}`, seed: seed * 10 + n, first: 0, count, clock_rate };
  });
  const workers = tasks.map((task, n) => {
    const worker = start(environments[n]?.wrapper, environments[n]?.environment);
    worker.run({ kind: "append", ...task, pause_ms: 100, out_of_sight: n % 2 === 1 });
    return worker;
  });
  const all = Promise.all(workers.map((worker) => worker.ended)).then(() => "ended");
  for (let jump = 1; (await Promise.race([all, sleep(250)])) !== "ended"; jump += 1) {
    fs.writeFileSync(jumping, jump % 2 === 0 ? "+1d" : "-1d");
  }
  fs.rmSync(jumping);
  const losses = workers.flatMap((worker) => worker.lines).filter((line) => !line.startsWith("stored"));
  const hours = workers.map((worker) => worker.starting_with("stored").map(hours_ahead));
  if (!hours[1]?.every((ahead) => ahead > 23) || !hours[2]?.every((ahead) => ahead < -23)) {
    losses.push("the clocks of the processes were not changed");
  }
  if (full && new Set(hours[3]?.map((ahead) => Math.round(ahead / 24))).size < 2) {
    losses.push("the clock that is to jump did not");
  }
  losses.push(...(await losses_of_appends(root, tasks)));
  losses.push(...(await leftovers_after_next_writer(root, new FileSessionStore(root))));
  return { losses, count: tasks.length * count };
}

function hours_ahead(line: string): number {
  return (Number(line.split(" ")[2]) - Date.now()) / 3_600_000;
}

/** The library that the command preloads. */
function library(): string {
  return spawnSync("faketime", ["-f", "+0d", "printenv", "LD_PRELOAD"]).stdout.toString().trim();
}
