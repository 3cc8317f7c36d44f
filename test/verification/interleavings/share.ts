import { getHeapStatistics } from "node:v8";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { seeded_random } from "../../support/random.js";
import { CrashedOrder } from "./crashes.js";
import { Explorer, type Settings } from "./explorer.js";
import type { Scenario } from "./run-order.js";
import { SCENARIOS } from "./scenarios.js";

const FORMATS: readonly FileSessionFormat[] = ["json", "ndjson"];

/** What is explored: every scenario in every format. */
export const PAIRS: readonly { scenario: Scenario; format: FileSessionFormat }[] = SCENARIOS.flatMap((scenario) =>
  FORMATS.map((format) => ({ scenario, format })),
);

/** How far a pair has come, and what was lost. */
export interface Found {
  pair: number;
  /** With how many interruptions all orders were looked at: none, up to one … */
  complete: boolean[];
  orders: number;
  cut_short: number;
  /** Of both, those that were run and not only recalled. */
  runs: number;
  /** What is known to be left. */
  left: number;
  losses: string[];
}

export function is_complete({ complete }: Found): boolean {
  return complete.every((one) => one);
}

/** How many numbers of interruptions are done with. */
export function completed({ complete }: Found): number {
  return complete.filter((one) => one).length;
}

export interface Crashes {
  deaths: number;
  kills: number;
  cuts: number;
  losses: string[];
}

/** To ask for the memory is dear: it is done before one order of so many. */
const ASKED = 16;

/** Of the memory that the process may have: from 0.8 on, a few sweeps that free little end it. */
const FULL_HEAP = 0.7;

function heap_is_full(): boolean {
  const is_full = () => {
    const { used_heap_size, heap_size_limit } = getHeapStatistics();
    return used_heap_size > FULL_HEAP * heap_size_limit;
  };
  if (is_full()) {
    globalThis.gc?.(); // what nobody needs does not count
  }
  return is_full();
}

/** The pairs that one process explores. */
export class Share {
  readonly #settings: Settings;
  readonly #explorers = new Map<number, Explorer>();
  /** Pairs that somebody goes on with, and that take memory until then. */
  readonly #unfinished = new Set<number>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Goes on with a pair, fewer interruptions first, for so long or so many orders; at least one is followed. */
  async explore(
    pair: number,
    { preemptions, time_ms, orders: most = Infinity }: { preemptions: number; time_ms: number; orders?: number },
  ): Promise<Found> {
    const explorer = this.#explorer(pair);
    const end = performance.now() + time_ms;
    let asked = 0;
    const is_late = () => performance.now() > end || ((asked += 1) % ASKED === 1 && !this.#has_room(pair));
    const complete: boolean[] = [];
    for (let allowed = 0; allowed <= preemptions; allowed += 1) {
      complete.push(
        await explorer.explore(allowed, () => explorer.followed > 0 && (explorer.followed >= most || is_late())),
      );
    }
    const left = complete.reduce((sum, _, at) => sum + explorer.left(at + 1), explorer.left(0));
    const { orders, cut_short, runs, losses } = explorer;
    return { pair, complete, orders, cut_short, runs, left, losses };
  }

  /** Of a pair that nobody goes on with, only samples are kept. */
  leave(pair: number): void {
    this.#explorer(pair).forget();
    this.#unfinished.delete(pair);
  }

  /** Where memory is short, another pair that was begun is forgotten, and begun anew later. */
  #has_room(pair: number): boolean {
    this.#unfinished.add(pair);
    while (heap_is_full()) {
      const other = [...this.#unfinished].find((one) => one !== pair);
      if (other === undefined) {
        return false;
      }
      this.#unfinished.delete(other);
      this.#explorers.delete(other);
    }
    return true;
  }

  #explorer(pair: number): Explorer {
    const { scenario, format } = PAIRS[pair] ?? {};
    if (scenario === undefined || format === undefined) {
      throw new Error(`there is no pair ${pair}`);
    }
    const explorer = this.#explorers.get(pair) ?? new Explorer(scenario, format, this.#settings);
    this.#explorers.set(pair, explorer);
    return explorer;
  }

  /** Cuts one of the orders of a pair off; `share`: at so many of all moments. */
  async crash(pair: number, { share, seed }: { share: number; seed: number }): Promise<Crashes> {
    const { scenario, format, samples } = this.#explorer(pair);
    const random = seeded_random(seed);
    const choices = random.pick(samples);
    const order = new CrashedOrder(scenario, format, choices, () => random.below(2 ** 30) / 2 ** 30);
    await order.run(share);
    return { ...order.rounds, losses: order.losses };
  }
}

/** Which pairs are cut off, and the seed of each time. */
export function to_crash(orders: number, seed: number): { pair: number; seed: number }[] {
  const random = seeded_random(seed);
  return Array.from({ length: orders }, () => ({ pair: random.below(PAIRS.length), seed: random.below(2 ** 30) }));
}
