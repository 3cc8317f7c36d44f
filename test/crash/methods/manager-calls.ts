import { search, type Found } from "../manager-calls/search.js";
import { VirtualTime } from "../manager-calls/virtual-time.js";
import { search_in_processes } from "../manager-calls/workers.js";
import type { Method } from "../method.js";

const SHORT = { count: Infinity, time_ms: 15_000 };
const FULL = { count: Number.MAX_SAFE_INTEGER, time_ms: 120_000 };
const TO_THE_END = { count: 100_000, time_ms: Number.MAX_SAFE_INTEGER };

/** Seeds of different runs do not meet. */
const SEEDS_APART = 10_000_000;

/** A manager that is called at random, over stores that are slow and fail: what it promised is stored at rest. */
export const MANAGER_CALLS: Method = {
  name: "manager-calls",
  async run({ full, to_the_end, seed, tell }) {
    const first = (seed - 1) * SEEDS_APART + 1;
    const found = full
      ? await search_in_processes({ first, ...(to_the_end === true ? TO_THE_END : FULL) }, tell)
      : [await search_here(first)];
    return {
      rounds: found.reduce((sum, { sequences }) => sum + sequences, 0),
      unit: "sequences",
      losses: found.flatMap(({ losses }) => losses),
      note: counts_of(found),
    };
  },
};

async function search_here(first: number): Promise<Found> {
  const time = new VirtualTime();
  time.begin();
  try {
    return await search({ first, step: 1, ...SHORT }, time);
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
