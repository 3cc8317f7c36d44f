import { seeded_random } from "../../support/random.js";
import { in_proportion, make_rounds, reordered } from "../budget.js";
import type { Method, Outcome } from "../method.js";
import { bundle } from "../../support/bundle.js";
import { cut_power, type Run } from "../power/cuts.js";
import { Disks, no_disks } from "../power/disk.js";
import { judge } from "../power/judge.js";
import type { Sync } from "../power/writer-task.js";

/** How ext4 may be mounted, which decides what it writes down unasked, and when. */
const MOUNTS = ["commit=1", "commit=5", "commit=5,noauto_da_alloc", "commit=1,noauto_da_alloc,data=writeback"];

/** Moments at which a sync that is left out matters, and nothing else makes up for it. */
const BROKEN: Partial<Run> = {
  options: "commit=5,noauto_da_alloc",
  program: "store",
  durable: true,
  lanes: 1,
  stop_after: [1, 2, 4, 6],
  stop_before: [],
  stop_at: [],
};
const SYNCS: readonly Sync[] = ["sync_directory", "sync", "datasync"];

interface Found {
  cuts: number;
  losses: string[];
  /** Cuts after which a session is said to be damaged. */
  damaged: number;
}

/**
 * Power cuts of real ext4: what the device holds at some moment is copied, mounted, and read. What a writer was told
 * to be stored is there; with `durable: false`, what is there was stored once.
 */
export const POWER_CUTS: Method = {
  name: "power cuts",
  unavailable: no_disks,

  async run({ full, seed, until }): Promise<Outcome> {
    using disks = new Disks();
    const { program } = await bundle(new URL("../power/writer.ts", import.meta.url), disks.directory);
    const losses_of = laboratory(disks, program);
    const [synced, unsynced]: [Found, Found] = [none(), none()];
    const blind: string[] = [];
    const cut = async (run: Run) => add(run.durable ? synced : unsynced, await losses_of(run));
    const break_and_cut = async (without: Sync) => {
      const { losses } = await losses_of({ ...run_of(seed, 0), ...BROKEN, without: [without] });
      if (losses.length === 0) {
        blind.push(`a store that leaves out ${without} loses nothing: these cuts would not notice`);
      }
    };
    const runs = Array.from({ length: full ? 48 : 2 }, (_, n) => run_of(seed, n));
    const kinds = [
      ...(full ? SYNCS : SYNCS.slice(0, 1)).map((without) => [() => break_and_cut(without)]),
      ...kinds_of(runs).map((some) => reordered(some, seed).map((run) => () => cut(run))),
    ];
    const progress = await make_rounds(in_proportion(kinds), { until, least: kinds.length }, (make) => make());
    const losses = [...synced.losses, ...unsynced.losses, ...blind];
    const damaged = synced.damaged + unsynced.damaged;
    if (damaged > 0) {
      losses.push(`${damaged} cuts leave a damaged session`);
    }
    return {
      rounds: synced.cuts + unsynced.cuts,
      unit: "cuts",
      progress: { ...progress, of: "writers" },
      losses,
      ...(unsynced.cuts > 0 && { note: `${unsynced.cuts} of them with durable: false` }),
    };
  },
};

/** Stores, managers, and stores that sync nothing. */
function kinds_of(runs: readonly Run[]): Run[][] {
  const kinds = new Map<string, Run[]>();
  for (const run of runs) {
    const kind = `${run.program}, ${run.durable}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), run]);
  }
  return [...kinds.values()];
}

function run_of(seed: number, n: number): Run {
  const { below } = seeded_random(seed * 1000 + n);
  const durable = n % 6 !== 5;
  return {
    options: MOUNTS[(n >> 2) % MOUNTS.length] ?? "",
    program: durable && n % 3 === 1 ? "manager" : "store",
    format: n % 2 === 0 ? "json" : "ndjson",
    durable,
    seed: seed * 1000 + n,
    steps: 40,
    lanes: durable ? 1 + ((n >> 1) % 2) : 1,
    stop_after: [below(10), 10 + below(15), 25 + below(15)].map((count) => count + 1),
    stop_before: [below(300), 300 + below(500)].map((count) => count + 1),
    stop_at: [60 + below(150)],
    without: [],
  };
}

function laboratory(disks: Disks, program: string): (run: Run) => Promise<Found> {
  const empty = disks.format();
  return async (run) => {
    const found = none();
    for (const cut of await cut_power(disks, empty, program, run)) {
      const at = disks.mount(cut.image, "copy", run.options);
      const { losses, damaged } = await judge(`${at}/sessions`, cut, run);
      disks.unmount("copy");
      const where = `${run.format}, ${run.program}, ${run.options}, seed ${run.seed}, ${cut.moment}`;
      add(found, { cuts: 1, losses: losses.map((loss) => `${where}: ${loss}`), damaged: Math.min(damaged, 1) });
    }
    return found;
  };
}

function none(): Found {
  return { cuts: 0, losses: [], damaged: 0 };
}

function add(sum: Found, { cuts, losses, damaged }: Found): void {
  sum.cuts += cuts;
  sum.losses.push(...losses);
  sum.damaged += damaged;
}
