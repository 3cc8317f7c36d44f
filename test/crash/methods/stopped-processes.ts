import { join } from "node:path";
import type { Method } from "../method.js";
import { stop_holders } from "../processes/stopped-holders.js";
import { with_processes } from "../processes/worker-process.js";

/**
 * A process that holds locks is stopped, at every operation, for longer than any lock ages. Where others see that it
 * lives they wait; where they cannot see it they break its locks, and when it wakes it does no harm.
 */
export const STOPPED_PROCESSES: Method = {
  name: "stopped processes",
  async run({ full }) {
    const scale = full ? { step: 1, clock_rate: 1, stopped_ms: 11_000 } : { step: 6, clock_rate: 20, stopped_ms: 1000 };
    const losses: string[] = [];
    let [rounds, locked] = [0, 0];
    await with_processes(async (directory, start) => {
      const stops = (["json", "ndjson"] as const).flatMap((format) =>
        [true, false].map((is_judged) => ({ ...scale, format, is_judged })),
      );
      await Promise.all(
        stops.map(async (stop, n) => {
          const result = await stop_holders(join(directory, `stop-${n}`), start, stop);
          const name = `${stop.format}, ${stop.is_judged ? "seen to live" : "out of sight"}`;
          losses.push(...result.losses.map((loss) => `${name}: ${loss}`));
          rounds += result.stopped;
          locked += result.locked;
        }),
      );
    });
    return { rounds, unit: "stops", losses, note: `${locked} with the lock held` };
  },
};
