import type { FileSessionFormat } from "../../../src/stores/file/snapshot-form.js";
import { CrashedOrder } from "../interleavings/crashes.js";
import { Explorer } from "../interleavings/explorer.js";
import { SCENARIOS } from "../interleavings/scenarios.js";
import type { Method, Scale } from "../method.js";
import { seeded_random } from "../../support/random.js";

const FORMATS: readonly FileSessionFormat[] = ["json", "ndjson"];

/** How long the orders may take, or how many may be followed in a scenario; and how many are then cut off by crashes. */
const FULL = { time_ms: 65_000, orders: Infinity, max_preemptions: 3, crashed_orders: 120, share: 0.15 };
const SHORT = { time_ms: Infinity, orders: 4, max_preemptions: 1, crashed_orders: 6, share: 0.05 };
type Extent = typeof FULL;

/** Several processes at the same session: one operation at a time, in every order with few interruptions. */
export const INTERLEAVINGS: Method = {
  name: "interleavings",
  async run(scale) {
    const extent = scale.full ? FULL : SHORT;
    const { seed } = scale;
    const explorers = SCENARIOS.flatMap((scenario) =>
      FORMATS.map((format) => new Explorer(scenario, format, { seed })),
    );
    const bounds = await explore_all(explorers, extent);
    const crashes = await crash_some(explorers, scale, extent);
    const sum = (count: (explorer: Explorer) => number) => explorers.reduce((total, one) => total + count(one), 0);
    const crashed = crashes.deaths + crashes.kills + crashes.cuts;
    return {
      rounds: sum(({ orders }) => orders) + crashed,
      unit: "orders",
      losses: [...explorers.flatMap(({ losses }) => losses), ...crashes.losses],
      note:
        `${explorers.length} scenarios, all orders with so many interruptions: ${bounds}; ${sum(({ cut_short }) => cut_short)} more became the ` +
        `same as one of these; ${crashes.deaths} deaths of one, ${crashes.kills} of all, ${crashes.cuts} power cuts`,
    };
  },
};

/** Of the processor: what is looked at is not to depend on what else runs on the machine. */
function spent_ms(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** How much of the time that is left is for the orders with so many interruptions. */
const SHARES = [0.5, 0.5, 0.8, 1];

/** Fewer interruptions first; every scenario gets its share of the time for these, with what others have left of it. */
async function explore_all(explorers: Explorer[], { time_ms, orders, max_preemptions }: Extent): Promise<string> {
  const last = spent_ms() + time_ms;
  const complete: string[] = [];
  const unfinished = new Set<Explorer>();
  for (let preemptions = 0; preemptions <= max_preemptions; preemptions += 1) {
    const end = spent_ms() + (last - spent_ms()) * (SHARES[preemptions] ?? 1);
    for (const [done, explorer] of explorers.entries()) {
      const now = spent_ms();
      const share = (end - now) / (explorers.length - done);
      const is_late = () => spent_ms() > now + share || explorer.followed >= orders;
      if (!(await explorer.explore(preemptions, is_late))) {
        unfinished.add(explorer);
      }
    }
    complete.push(`${preemptions} in ${explorers.length - unfinished.size}`);
  }
  return complete.join(", ");
}

async function crash_some(
  explorers: Explorer[],
  { seed }: Scale,
  { crashed_orders, share }: Extent,
): Promise<{ deaths: number; kills: number; cuts: number; losses: string[] }> {
  const random = seeded_random(seed);
  const total = { deaths: 0, kills: 0, cuts: 0, losses: [] as string[] };
  for (let n = 0; n < crashed_orders && total.losses.length < 20; n += 1) {
    const { scenario, format, samples } = random.pick(explorers);
    if (samples.length > 0) {
      const order = new CrashedOrder(scenario, format, random.pick(samples), () => random.below(2 ** 30) / 2 ** 30);
      await order.run(share);
      const { deaths, kills, cuts } = order.rounds;
      total.losses.push(...order.losses);
      total.deaths += deaths;
      total.kills += kills;
      total.cuts += cuts;
    }
  }
  return total;
}
