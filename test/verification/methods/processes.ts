import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { seeded_random } from "../../support/random.js";
import { make_rounds } from "../budget.js";
import type { Method } from "../method.js";
import { losses_of_appends, losses_of_conversations } from "../processes/check-writers.js";
import { leftovers_after_next_writer } from "../processes/kill-check.js";
import { run_writer, type Written } from "../processes/run-writers.js";
import { with_processes, type StartProcess } from "../processes/worker-process.js";

/** What several processes do at once. */
interface Run {
  how: "append" | "converse";
  format: FileSessionFormat;
  sessions: number;
  writers: number;
  /** Of each writer. */
  count: number;
  kills: number;
}

const FULL = { writers: 8, count: 250 };
const RUNS: Run[] = [
  { how: "append", format: "json", sessions: 1, ...FULL, kills: 0 },
  { how: "append", format: "ndjson", sessions: 20, ...FULL, kills: 0 },
  { how: "append", format: "ndjson", sessions: 1, ...FULL, kills: 250 },
  { how: "converse", format: "ndjson", sessions: 1, ...FULL, kills: 0 },
  { how: "converse", format: "json", sessions: 20, ...FULL, kills: 0 },
  { how: "converse", format: "json", sessions: 1, ...FULL, kills: 250 },
];

/** To end in time each run is made in parts, so much of it in each, in a directory of its own; the first is quick. */
const PARTS = [0.04, 0.16, 0.2, 0.2, 0.2, 0.2];

const SHORT_RUNS: Run[] = [
  { how: "append", format: "ndjson", sessions: 1, writers: 4, count: 12, kills: 4 },
  { how: "converse", format: "json", sessions: 3, writers: 4, count: 12, kills: 4 },
];

/**
 * Several processes write one session, or many, some of them killed again and again, while another one reads. Nothing
 * that was acknowledged is lost, nothing is there twice, and nothing that a reader has seen vanishes.
 */
export const PROCESSES: Method = {
  name: "processes",
  async run({ full, seed, until }) {
    const losses: string[] = [];
    let [rounds, kills, conflicts, reads] = [0, 0, 0, 0];
    const parts = until === Infinity ? [1] : PARTS;
    const runs = full ? parts.flatMap((part) => RUNS.map((run) => part_of_run(run, part))) : SHORT_RUNS;
    const limits = { until, least: full ? RUNS.length : SHORT_RUNS.length };
    await with_processes(async (directory, start) => {
      await make_rounds([...runs.entries()], limits, async ([n, run]) => {
        const root = join(directory, `run-${n}`);
        const result = await run_all(root, start, run, seed * 1000 + n);
        const name = `${run.writers} × ${run.count} ${run.how} to ${run.sessions} in ${run.format}, ${run.kills} kills`;
        losses.push(...result.losses.map((loss) => `${name}: ${loss}`));
        rounds += run.writers * run.count;
        kills += result.kills;
        conflicts += result.conflicts;
        reads += result.reads;
      });
    });
    return {
      rounds,
      unit: "writes",
      progress: { done: rounds, planned: runs.reduce((sum, { writers, count }) => sum + writers * count, 0) },
      losses,
      note: `${kills} kills, ${conflicts} conflict forks, ${reads} reads beside`,
    };
  },
};

function part_of_run(run: Run, part: number): Run {
  return { ...run, count: run.count * part, kills: run.kills * part };
}

async function run_all(root: string, start: StartProcess, run: Run, seed: number) {
  const sessions = Array.from({ length: run.sessions }, (_, n) => `s${n}`);
  const store = new FileSessionStore(root, { format: run.format });
  for (const id of sessions) {
    await store.save(id, [], { kind: "root" });
  }
  const reader = start();
  reader.run({ kind: "watch", root });
  await reader.said("watching");
  const tasks = Array.from({ length: run.writers }, (_, n) => {
    const { format, count } = run;
    return { root, format, sessions, name: `w${n}`, seed: seed * 100 + n, count, load_every: 5 };
  });
  const kind = run.how;
  const writers = tasks.map((task, n) => ({
    task: (first: number) => ({ kind, ...task, first }),
    progress: kind === "append" ? "stored" : "turn",
    count: run.count,
    kills: Math.floor((run.kills + n) / run.writers),
  }));
  const written: Written[] = await Promise.all(
    writers.map((writer, n) => run_writer(start, writer, seeded_random(seed * 200 + n))),
  );
  await reader.finish();
  const lines = written.flatMap((of) => of.lines);
  const kills = written.reduce((sum, of) => sum + of.kills, 0);
  const losses = [...lines, ...reader.lines].filter((line) => /^(error|wrong|broken)/.test(line));
  const check = async () =>
    kind === "append"
      ? { losses: await losses_of_appends(root, tasks), conflicts: 0 }
      : losses_of_conversations(root, lines, kills);
  const before = await check();
  losses.push(...before.losses, ...(await leftovers_after_next_writer(root, new FileSessionStore(root))));
  if (before.losses.length === 0) {
    losses.push(...(await check()).losses.map((loss) => `after a flush: ${loss}`));
  }
  fs.rmSync(root, { recursive: true });
  const reads = Number(reader.starting_with("reads")[0]?.split(" ")[1] ?? 0);
  return { losses, kills, conflicts: before.conflicts, reads };
}
