import { fork, type ChildProcess } from "node:child_process";
import os from "node:os";
import { bundle } from "../../support/bundle.js";
import type { Settings } from "./explorer.js";
import { make_rounds, part_of, sum_of, type Budget, type Progress } from "../budget.js";
import { completed, is_complete, PAIRS, to_crash, type Crashes, type Found } from "./share.js";
import type { Task } from "./worker.js";

export interface Limits extends Budget {
  preemptions: number;
  crashed_orders: number;
  /** An order is cut off at so many of all moments. */
  share: number;
  /** Called when a pair was looked at, and how long that took. */
  on_pair?: (found: Found, seconds: number) => void;
}

/** Of the time, so much is for the orders; what is left is for those that are cut off by crashes. */
const ORDERS_FIRST = 0.85;

/** As a number that survives being sent to another process. */
function ms_left({ until }: Budget): number {
  return Math.min(Math.max(0, until - performance.now()), Number.MAX_SAFE_INTEGER);
}

/** The knowledge of a pair takes some hundred megabytes. Each process leaves as much as it takes to others. */
function heap_megabytes(): number {
  return Math.min(6000, Math.floor(os.totalmem() / 2 ** 20 / (os.availableParallelism() + 1)));
}

/** One process of a few, that does one task at a time. */
class Worker {
  readonly #child: ChildProcess;
  readonly pairs: Found[] = [];

  constructor(program: string, settings: Settings) {
    this.#child = fork(program, [JSON.stringify(settings)], {
      execArgv: [`--max-old-space-size=${heap_megabytes()}`, "--max-semi-space-size=64", "--expose-gc"],
    });
  }

  do<T>(task: Task): Promise<T> {
    return new Promise((resolve, reject) => {
      const died = (code: number | null, signal: string | null) =>
        reject(new Error(`a process that explores died: ${code ?? signal}`));
      this.#child.once("exit", died);
      this.#child.once("message", (answer: { result: T } | { error: string }) => {
        this.#child.off("exit", died);
        if ("error" in answer) {
          reject(new Error(answer.error));
        } else {
          resolve(answer.result);
        }
      });
      this.#child.send(task);
    });
  }

  end(): void {
    this.#child.kill();
  }
}

/** Explores all pairs in several processes at once, one for each core. */
export async function explore_in_processes(
  seed: number,
  limits: Limits,
): Promise<{ pairs: Found[]; crashes: Crashes[]; crashed: Progress }> {
  const { program, remove } = await bundle(new URL("worker.ts", import.meta.url));
  const workers: Worker[] = [];
  try {
    for (let n = 0; n < os.availableParallelism(); n += 1) {
      workers.push(new Worker(program, { seed, most: limits.preemptions }));
    }
    const orders_first = { ...limits, ...part_of(limits, ORDERS_FIRST) };
    await explore_first(workers, orders_first);
    const pairs = await Promise.all(workers.map((worker) => explore_on(worker, orders_first)));
    const crashes: Crashes[] = [];
    const crashed = await Promise.all(workers.map((worker) => crash_some(worker, seed, limits, crashes)));
    return { pairs: pairs.flat(), crashes, crashed: sum_of(crashed) };
  } finally {
    workers.forEach((worker) => worker.end());
    remove();
  }
}

/** Every pair, by whoever is free: for up to twice its share of the time, since most of them need less. */
async function explore_first(workers: Worker[], { until, preemptions, on_pair }: Limits): Promise<void> {
  const left = [...PAIRS.keys()];
  const work = async (worker: Worker) => {
    for (let pair = left.shift(); pair !== undefined; pair = left.shift()) {
      const rest_ms = ms_left({ until });
      const share = (rest_ms / (left.length + 1)) * workers.length;
      const task = {
        kind: "explore",
        pair,
        preemptions,
        time_ms: Math.min(2 * share, rest_ms / 2),
        is_last: false,
      } as const;
      const began = performance.now();
      const found = await worker.do<Found>(task);
      worker.pairs.push(found);
      on_pair?.(found, (performance.now() - began) / 1000);
    }
  };
  await Promise.all(workers.map(work));
}

/** Each process goes on with the pairs that it has begun, the nearest to its end first, in its share of the time and of what others left. */
async function explore_on(worker: Worker, { until, preemptions }: Limits): Promise<Found[]> {
  const results = worker.pairs.filter(is_complete);
  const pairs = worker.pairs.filter((one) => !is_complete(one)).sort((a, b) => a.left - b.left || a.pair - b.pair);
  for (const [done, { pair }] of pairs.entries()) {
    const time_ms = ms_left({ until }) / (pairs.length - done);
    const before = worker.pairs.find((one) => one.pair === pair);
    const after = await worker.do<Found>({ kind: "explore", pair, preemptions, time_ms, is_last: true });
    results.push(before && completed(before) > completed(after) ? before : after); // it may have been begun anew
  }
  return results;
}

/** Of the orders that are cut off, those of the pairs that a process has explored. */
async function crash_some(
  worker: Worker,
  seed: number,
  { until, crashed_orders, share }: Limits,
  crashes: Crashes[],
): Promise<Progress> {
  const own = to_crash(crashed_orders, seed).filter(({ pair }) => worker.pairs.some((one) => one.pair === pair));
  return make_rounds(own, { until }, async (one) => {
    crashes.push(await worker.do<Crashes>({ kind: "crash", share, ...one }));
  });
}
