import { sum_of, type Progress } from "../budget.js";
import { completed, PAIRS, Share, to_crash, type Crashes, type Found } from "../interleavings/share.js";
import { explore_in_processes } from "../interleavings/workers.js";
import type { Method } from "../method.js";

const FULL = { preemptions: 3, crashed_orders: 120, share: 0.15 } as const;
/** How many orders are followed in each scenario; and how many are then cut off by crashes. */
const SHORT = { time_ms: Infinity, preemptions: 1, orders: 4, crashed_orders: 4, share: 0.05 };

/** Several processes at the same session: one operation at a time, in every order with few interruptions. */
export const INTERLEAVINGS: Method = {
  name: "interleavings",
  async run({ full, seed, until, tell }) {
    const limits = { ...FULL, until, on_pair: told(until === Infinity ? tell : undefined) };
    const { pairs, crashes, crashed } = full ? await explore_in_processes(seed, limits) : await explore_here(seed);
    const bounds = {
      done: pairs.reduce((total, pair) => total + completed(pair), 0),
      planned: PAIRS.length * (1 + (full ? FULL : SHORT).preemptions),
    };
    const sum = <T>(all: readonly T[], count: (one: T) => number) => all.reduce((total, one) => total + count(one), 0);
    const deaths = sum(crashes, (one) => one.deaths);
    const kills = sum(crashes, (one) => one.kills);
    const cuts = sum(crashes, (one) => one.cuts);
    const orders = sum(pairs, (one) => one.orders);
    const cut_short = sum(pairs, (one) => one.cut_short);
    const runs = sum(pairs, (one) => one.runs);
    return {
      rounds: orders + deaths + kills + cuts,
      unit: "orders",
      progress: sum_of([bounds, crashed], "bounds and crashes"),
      losses: [...pairs, ...crashes].flatMap(({ losses }) => losses),
      note:
        `${PAIRS.length} scenarios, all orders with so many interruptions: ${bounds_of(pairs)}; ${orders} orders to ` +
        `their end, ${cut_short} more until they became the same as one of these; in ${runs} somebody ` +
        `saw something new; ${deaths} deaths of one, ${kills} ` +
        `of all, ${cuts} power cuts`,
    };
  },
};

function told(tell: ((line: string) => void) | undefined) {
  let pairs = 0;
  return ({ pair, complete, orders, cut_short, losses }: Found, seconds: number) => {
    const { scenario, format } = PAIRS[pair] ?? {};
    pairs += 1;
    const bound = complete.lastIndexOf(true);
    tell?.(
      `${pairs} of ${PAIRS.length}: ${format}, ${scenario?.name}: up to ${bound}, ${orders} orders and ${cut_short} ` +
        `cut short in ${seconds.toFixed(0)} s, ${losses.length} losses`,
    );
  };
}

/** In how many pairs the orders with so many interruptions are complete. */
function bounds_of(pairs: readonly Found[]): string {
  const most = Math.max(...pairs.map(({ complete }) => complete.length));
  return [...Array(most).keys()]
    .map((preemptions) => `${preemptions} in ${pairs.filter(({ complete }) => complete[preemptions]).length}`)
    .join(", ");
}

/** A few orders of each, in this process. */
async function explore_here(seed: number): Promise<{ pairs: Found[]; crashes: Crashes[]; crashed: Progress }> {
  const share = new Share({ seed, most: SHORT.preemptions, at_a_time: 1 });
  const pairs: Found[] = [];
  for (const pair of PAIRS.keys()) {
    pairs.push(await share.explore(pair, SHORT));
  }
  const crashes: Crashes[] = [];
  for (const one of to_crash(SHORT.crashed_orders, seed)) {
    crashes.push(await share.crash(one.pair, { share: SHORT.share, seed: one.seed }));
  }
  return { pairs, crashes, crashed: { done: crashes.length, planned: crashes.length } };
}
