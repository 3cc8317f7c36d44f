import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "./script.js";
import type { Task } from "./program.js";
import type { StartProcess, WorkerProcess } from "./worker-process.js";

/** A writer that is killed again and again, and goes on where it was. */
export interface Writer {
  /** What it has left to do. */
  task(first: number): Task;
  /** A line of this kind and a number tells how far it is; the next one begins behind it. */
  progress: string;
  count: number;
  kills: number;
}

export interface Written {
  /** What all processes said, one after another. */
  lines: string[];
  kills: number;
}

/** Runs a writer to its end, over as many processes as it takes. */
export async function run_writer(start: StartProcess, writer: Writer, random: Random): Promise<Written> {
  const moments = Array.from({ length: writer.kills }, () => random.below(writer.count)).sort((a, b) => a - b);
  const written: Written = { lines: [], kills: 0 };
  let first = 0;
  let next = start();
  for (;;) {
    const worker = next;
    worker.run(writer.task(first));
    const moment = moments.shift();
    if (moment === undefined) {
      await worker.finish();
      written.lines.push(...worker.lines);
      return written;
    }
    next = start();
    await reached(worker, writer.progress, moment);
    await sleep(random.below(12));
    await worker.kill();
    written.kills += 1;
    written.lines.push(...worker.lines);
    first = 1 + Math.max(first - 1, ...numbers_in(worker.lines, writer.progress));
  }
}

function numbers_in(lines: readonly string[], kind: string): number[] {
  return lines.filter((line) => line.startsWith(`${kind} `)).map((line) => Number(line.split(" ")[1]));
}

/** Resolves when it is so far, or has ended. */
async function reached(worker: WorkerProcess, kind: string, moment: number): Promise<void> {
  const is_there = (line: string) => line.startsWith(`${kind} `) && Number(line.split(" ")[1]) >= moment;
  if (!worker.lines.some(is_there)) {
    await new Promise<void>((resolve) => {
      worker.on_line = (line) => is_there(line) && resolve();
      void worker.ended.then(resolve);
    });
  }
}
