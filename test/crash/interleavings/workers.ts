import { fork, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import type { Settings } from "./explorer.js";
import { is_complete, PAIRS, to_crash, type Crashes, type Progress } from "./share.js";
import type { Task } from "./worker.js";

/** For each process, by its own clock. */
export interface Limits {
  /** For all that may take long. */
  time_ms: number;
  preemptions: number;
  crashed_orders: number;
  share: number;
  /** Called when a pair was looked at, and how much of the processor's time that took. */
  on_pair?: (progress: Progress, seconds: number) => void;
}

/** What is known of a pair takes some hundred megabytes; each process leaves as much as it takes to others. */
function heap_megabytes(): number {
  return Math.min(6000, Math.floor(os.totalmem() / 2 ** 20 / (os.availableParallelism() + 1)));
}

/** One process of a few, that does one task at a time. */
class Worker {
  readonly #child: ChildProcess;
  /** What its clock says. */
  spent_ms = 0;
  readonly pairs: Progress[] = [];

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
      this.#child.once("message", (answer: { result: T; spent_ms: number } | { error: string }) => {
        this.#child.off("exit", died);
        if ("error" in answer) {
          reject(new Error(answer.error));
        } else {
          this.spent_ms = answer.spent_ms;
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
): Promise<{ pairs: Progress[]; crashes: Crashes[] }> {
  const directory = fs.mkdtempSync(join(os.tmpdir(), "interleavings-"));
  const workers: Worker[] = [];
  try {
    const program = await bundled(directory);
    for (let n = 0; n < os.availableParallelism(); n += 1) {
      workers.push(new Worker(program, { seed, most: limits.preemptions }));
    }
    await explore_first(workers, limits);
    const pairs = await Promise.all(workers.map((worker) => explore_on(worker, limits)));
    const crashes = await Promise.all(workers.map((worker) => crash_some(worker, seed, limits)));
    return { pairs: pairs.flat(), crashes: crashes.flat() };
  } finally {
    workers.forEach((worker) => worker.end());
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** Every pair, by whoever is free: for up to twice its share of the time, since most of them need less. */
async function explore_first(workers: Worker[], { time_ms, preemptions, on_pair }: Limits): Promise<void> {
  const left = [...PAIRS.keys()];
  const work = async (worker: Worker) => {
    for (let pair = left.shift(); pair !== undefined; pair = left.shift()) {
      const share = (Math.max(0, time_ms - worker.spent_ms) / (left.length + 1)) * workers.length;
      const task = {
        kind: "explore",
        pair,
        preemptions,
        time_ms: Math.min(2 * share, time_ms / 2),
        is_last: false,
      } as const;
      const before_ms = worker.spent_ms;
      const progress = await worker.do<Progress>(task);
      worker.pairs.push(progress);
      on_pair?.(progress, (worker.spent_ms - before_ms) / 1000);
    }
  };
  await Promise.all(workers.map(work));
}

/** What a process has begun it goes on with, where least is left first: in its share of the time, with what others left of theirs. */
async function explore_on(worker: Worker, { time_ms, preemptions }: Limits): Promise<Progress[]> {
  const results = worker.pairs.filter(is_complete);
  const pairs = worker.pairs.filter((one) => !is_complete(one)).sort((a, b) => a.left - b.left || a.pair - b.pair);
  for (const [done, { pair }] of pairs.entries()) {
    const share = Math.max(0, time_ms - worker.spent_ms) / (pairs.length - done);
    const before = worker.pairs.find((one) => one.pair === pair);
    const after = await worker.do<Progress>({ kind: "explore", pair, preemptions, time_ms: share, is_last: true });
    results.push(before && completed(before) > completed(after) ? before : after); // it may have been begun anew
  }
  return results;
}

function completed({ complete }: Progress): number {
  return complete.filter((one) => one).length;
}

/** Of the orders that are cut off, those of the pairs that a process has explored. */
async function crash_some(worker: Worker, seed: number, { crashed_orders, share }: Limits): Promise<Crashes[]> {
  const crashes: Crashes[] = [];
  for (const one of to_crash(crashed_orders, seed).filter(({ pair }) =>
    worker.pairs.some((own) => own.pair === pair),
  )) {
    crashes.push(await worker.do<Crashes>({ kind: "crash", share, ...one }));
  }
  return crashes;
}

/** In one file, so that a process starts in no time and runs as it would in use. */
async function bundled(directory: string): Promise<string> {
  const { build } = await import("tsup");
  await build({
    entry: { worker: new URL("worker.ts", import.meta.url).pathname },
    outDir: directory,
    format: ["esm"],
    target: "node20",
    silent: true,
    config: false,
    dts: false,
  });
  const [name = ""] = fs.readdirSync(directory);
  fs.renameSync(join(directory, name), join(directory, "worker.mjs"));
  return join(directory, "worker.mjs");
}
