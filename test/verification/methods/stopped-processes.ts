import { join } from "node:path";
import { make_rounds, reordered } from "../budget.js";
import type { Method } from "../method.js";
import { stop_holders } from "../processes/stopped-holders.js";
import { with_processes } from "../processes/worker-process.js";

/** A series stops holders before operations that are so far apart. */
const STEP = 5;
const SHORT = { step: 6, clock_rate: 20, stopped_ms: 1000 };

/**
 * A process that holds locks is stopped, at every operation, for longer than any lock ages. Where others see that it
 * lives they wait; where they cannot see it they break its locks, and when it wakes it does no harm.
 */
export const STOPPED_PROCESSES: Method = {
  name: "stopped processes",
  async run({ full, seed, until }) {
    const scale = full ? { step: STEP, clock_rate: 1, stopped_ms: 11_000 } : SHORT;
    const firsts = full ? reordered(Array(STEP).keys(), seed).map((n) => n + 1) : [1];
    const losses: string[] = [];
    let [rounds, locked] = [0, 0];
    const progress = await with_processes((directory, start) =>
      make_rounds(firsts, { until }, (first) => {
        const stops = (["json", "ndjson"] as const).flatMap((format) =>
          [true, false].map((is_judged) => ({ ...scale, first, format, is_judged })),
        );
        return Promise.all(
          stops.map(async (stop, n) => {
            const result = await stop_holders(join(directory, `stop-${first}-${n}`), start, stop);
            const name = `${stop.format}, ${stop.is_judged ? "seen to live" : "out of sight"}`;
            losses.push(...result.losses.map((loss) => `${name}: ${loss}`));
            rounds += result.stopped;
            locked += result.locked;
          }),
        );
      }),
    );
    return {
      rounds,
      unit: "stops",
      progress: { ...progress, of: "series" },
      losses,
      note: `${locked} with the lock held`,
    };
  },
};
