import { search, type Found } from "../manager-calls/search.js";
import { VirtualTime } from "../manager-calls/virtual-time.js";
import { search_in_processes } from "../manager-calls/workers.js";
import type { Method } from "../method.js";

const SHORT_MS = 15_000;
/** Sequences of the full form. */
const PLANNED = 100_000;

/** Seeds of different runs do not meet. */
const SEEDS_APART = 10_000_000;

/** A manager that is called at random, over stores that are slow and fail: what it promised is stored at rest. */
export const MANAGER_CALLS: Method = {
  name: "manager-calls",
  async run({ full, until, seed, tell }) {
    const first = (seed - 1) * SEEDS_APART + 1;
    const time_ms = Math.min(Number.MAX_SAFE_INTEGER, until - performance.now());
    const found = full
      ? await search_in_processes({ first, count: PLANNED, time_ms }, tell)
      : [await search_here(first, Math.min(SHORT_MS, time_ms))];
    const rounds = found.reduce((sum, { sequences }) => sum + sequences, 0);
    return {
      rounds,
      unit: "sequences",
      progress: { done: rounds, planned: full ? PLANNED : rounds },
      losses: found.flatMap(({ losses }) => losses),
      note: counts_of(found),
    };
  },
};

async function search_here(first: number, time_ms: number): Promise<Found> {
  const time = new VirtualTime();
  time.begin();
  try {
    return await search({ first, step: 1, count: Infinity, time_ms }, time);
  } finally {
    time.end();
  }
}
/** How many sequences found something, by kind. */
function counts_of(found: readonly Found[]): string {
  const counts = new Map<string, number>();
  for (const [kind, count] of found.flatMap((one) => Object.entries(one.counts))) {
    counts.set(kind, (counts.get(kind) ?? 0) + count);
  }
  return [...counts].map(([kind, count]) => `${kind} in ${count}`).join(", ");
}
