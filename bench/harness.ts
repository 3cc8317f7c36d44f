import { rmSync } from "node:fs";
import { mkdtemp, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { FileSessionFormat } from "@simulacra-ai/session";

/** A part of the benchmark. */
export interface Subject {
  name: string;
  measure(scale: Scale): Promise<Figure[]>;
}

export interface Scale {
  /** Fewer rounds and smaller data: to see that it runs, not for figures to quote. */
  quick: boolean;
  /** The forms of `FileSessionStore` to measure. */
  formats: readonly FileSessionFormat[];
  /** The databases to measure. */
  backends: readonly string[];
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

/** The medians that a ratio is made of. */
export function pair(numerators: readonly number[], denominators: readonly number[]): string {
  return `${ms(median(numerators))} / ${ms(median(denominators))}`;
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

/** So many percent of the values are at most this. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? NaN;
}

export async function time(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

/** One entry for each key, in their order. */
export function keyed<Key extends string, Value>(keys: readonly Key[], make: (key: Key) => Value): Record<Key, Value> {
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<Key, Value>;
}

/**
 * Runs several ways to the same end in turns, forwards and backwards, each with a young heap that was swept before: what disturbs
 * the machine for a while disturbs them all. Returns what each of them returned, round by round.
 */
export async function interleave<Name extends string, Result>(
  ways: Record<Name, () => Promise<Result>>,
  rounds: number,
): Promise<Record<Name, Result[]>> {
  const names = Object.keys(ways) as Name[];
  const results = keyed(names, (): Result[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      sweep();
      results[name].push(await ways[name]());
    }
  }
  return results;
}

/** The median of the rounds' ratios. */
export function ratio(numerators: readonly number[], denominators: readonly number[]): number {
  return median(numerators.map((value, round) => value / (denominators[round] ?? NaN)));
}

setFlagsFromString("--expose-gc"); // not every way to start this lets an option through
const gc = runInNewContext("gc") as (options?: { type: "minor" }) => void;

export function collect_garbage(): void {
  gc();
}

/** Leaves nothing young behind. A whole collection would also throw away much of what was compiled. */
export function sweep(): void {
  gc({ type: "minor" });
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

const clean_ups: (() => Promise<void>)[] = [];

/** Runs `clean_up` once: after the task, however that ends, or when the run is interrupted. */
export async function with_clean_up<T>(task: () => Promise<T>, clean_up: () => Promise<void>): Promise<T> {
  let cleaned: Promise<void> | undefined;
  const once = () => (cleaned ??= clean_up());
  clean_ups.push(once);
  try {
    return await task();
  } finally {
    await once();
    clean_ups.splice(clean_ups.indexOf(once), 1);
  }
}

/** For a run that is interrupted: the last task's first. */
export async function clean_up_all(): Promise<void> {
  for (const clean_up of clean_ups.toReversed()) {
    await clean_up();
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
