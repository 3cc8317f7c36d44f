import { rmSync } from "node:fs";
import { mkdtemp, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** A part of the benchmark. */
export interface Subject {
  name: string;
  measure(scale: Scale): Promise<Figure[]>;
}

export interface Scale {
  /** Fewer rounds and smaller data: to see that it runs, not for figures to quote. */
  quick: boolean;
}

/** One line of the table. */
export interface Figure {
  what: string;
  measured: string;
  bound: string;
  /** `undefined`: there is no bound. */
  holds: boolean | undefined;
}

/** `note`: what the figure was calculated from. */
export function at_most(what: string, value: number, bound: number, unit: string, note = ""): Figure {
  return { what, measured: with_note(value, unit, note), bound: `≤ ${bound}${unit}`, holds: value <= bound };
}

export function at_least(what: string, value: number, bound: number, unit: string, note = ""): Figure {
  return { what, measured: with_note(value, unit, note), bound: `≥ ${bound}${unit}`, holds: value >= bound };
}

export function for_information(what: string, value: number, unit: string, note = ""): Figure {
  return { what, measured: with_note(value, unit, note), bound: "", holds: undefined };
}

function with_note(value: number, unit: string, note: string): string {
  return `${rounded(value)}${unit}${note && ` (${note})`}`;
}

/** Three significant digits where that makes sense. */
export function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function ms(value: number): string {
  return `${rounded(value)} ms`;
}

export function print_table(figures: readonly Figure[]): void {
  const rows = figures.map(({ what, measured, bound, holds }) => [
    what,
    measured,
    bound,
    holds === undefined ? "" : holds ? "ok" : "MISSED",
  ]);
  const all = [["figure", "measured", "bound", ""], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(3, ...all.map((row) => (row[column] ?? "").length)));
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  console.log([line(all[0] ?? []), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n"));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle) - 1] ?? NaN)) / 2;
}

export async function time(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

/** What each of several ways took, round by round. */
export type Timings<Name extends string> = Record<Name, number[]>;

/**
 * Runs several ways to the same end in turns, forwards and backwards, each with a heap swept before: what disturbs
 * the machine for a while disturbs them all. Each returns the milliseconds that count.
 */
export async function interleave<Name extends string>(
  ways: Record<Name, () => Promise<number>>,
  rounds: number,
): Promise<Timings<Name>> {
  const names = Object.keys(ways) as Name[];
  const timings = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Timings<Name>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      collect_garbage();
      timings[name].push(await ways[name]());
    }
  }
  return timings;
}

/** The median of the rounds' ratios. */
export function ratio(numerators: readonly number[], denominators: readonly number[]): number {
  return median(numerators.map((value, round) => value / (denominators[round] ?? NaN)));
}

setFlagsFromString("--expose-gc"); // not every way to start this lets an option through
const gc = runInNewContext("gc") as () => void;

export function collect_garbage(): void {
  gc();
}

/** On the system's real disk; removed in every case. What was left to the system before is written first. */
export async function in_temporary_directory<T>(task: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "simulacra-session-bench-"));
  const remove = () => rmSync(directory, { recursive: true });
  process.once("exit", remove); // for a run that is interrupted
  try {
    await settle(directory);
    return await task(directory);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** A sync of a new directory waits for the file system's own journal, and so for what others have left in it. */
async function settle(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
