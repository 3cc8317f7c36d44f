/**
 * The full form of every method that shows whether something acknowledged can be lost, and one table of what they
 * found. Each method ends with its share of the time; `--to-the-end` gives each all the time that it needs. Exits with 1
 * where anything was lost, a method made no round, or something was left in the temporary directories.
 *
 * Usage: npm run test:crash -- [--only NAME] [--minutes N] [--seed N] [--short] [--to-the-end]
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import "../support/late-compaction.js";
import { begin_run } from "../support/run-directories.js";
import type { Progress } from "./budget.js";
import { METHODS, SECONDS } from "./methods/index.js";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: METHODS.map(({ name }) => name) },
    /** For the chosen methods together; otherwise each has its share of ten minutes. */
    minutes: { type: "string" },
    seed: { type: "string", default: "1" },
    /** The form that is part of `npm run test:verification`. */
    short: { type: "boolean", default: false },
    /** All that the full form plans, however long it takes. */
    "to-the-end": { type: "boolean", default: false },
  },
});
const unknown = options.only.filter((name) => !METHODS.some((method) => method.name === name));
if (unknown.length > 0) {
  throw new Error(`there is no ${unknown.join(", ")}; there are ${METHODS.map(({ name }) => name).join(", ")}`);
}
const seed = Number(options.seed);
const minutes = options.minutes === undefined ? undefined : Number(options.minutes);
if (!Number.isInteger(seed) || (minutes !== undefined && !(minutes > 0))) {
  throw new Error("--seed takes a whole number, and --minutes a number above 0");
}

/** The time that a round that has begun may take beyond the end of its method's time. */
const PATIENCE_MS = 5 * 60_000;

const { end: end_run } = begin_run();
const methods = METHODS.filter(({ name }) => options.only.includes(name));
const is_limited = !options.short && !options["to-the-end"];
const seconds_of = (some: typeof methods) => some.reduce((sum, method) => sum + (SECONDS.get(method) ?? 0), 0);
const total_s = minutes === undefined ? seconds_of(methods) : 60 * minutes;
/** Counted from the start of the process. */
const end = 1000 * total_s;
console.error(`seed ${seed}${is_limited ? `, ${(total_s / 60).toFixed(1)} minutes` : ""}`);

/** A share of what is left: what a method leaves of its time goes to those after it, and what it takes beyond as well. */
function deadline_of(method: (typeof methods)[number]): number {
  const now = performance.now();
  const rest = methods.slice(methods.indexOf(method));
  return now + (Math.max(0, end - now) * (SECONDS.get(method) ?? 0)) / seconds_of(rest);
}

const rows = [["method", "rounds", "of the plan", "losses", "seconds", ""]];
for (const method of methods) {
  const reason = method.unavailable?.();
  if (reason !== undefined) {
    console.error(`SKIPPED: ${method.name}: ${reason}`);
    rows.push([method.name, "", "", "", "", `skipped: ${reason}`]);
    continue;
  }
  console.error(`${method.name} …`);
  const began = performance.now();
  const until = is_limited ? deadline_of(method) : Infinity;
  const tell = (line: string) => console.error(`  ${line}`);
  const found = method.run({ full: !options.short, until, seed, tell });
  const result = await (is_limited ? within(until - began + PATIENCE_MS, found) : found);
  if (result === "late") {
    console.error(`HANGS: ${method.name}`);
    process.exitCode = 1;
    break;
  }
  const { rounds, unit, progress, losses, note = "" } = result;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (rounds === 0) {
    losses.push("no round was made");
  }
  const made = `${rounds.toLocaleString("en")} ${unit}`;
  rows.push([method.name, made, told(progress, unit), String(losses.length), seconds, note]);
  for (const loss of losses.slice(0, 20)) {
    console.error(`  LOST: ${loss}`);
  }
  if (losses.length > 0) {
    process.exitCode = 1;
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | "late"> {
  const timer = new AbortController();
  try {
    return await Promise.race([promise, sleep(ms, "late" as const, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

function told({ done, planned, of }: Progress, unit: string): string {
  return done === planned ? "all" : `${done.toLocaleString("en")} of ${planned.toLocaleString("en")} ${of ?? unit}`;
}

const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? "").length)));
const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
const [head = [], ...body] = rows;
console.log([line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n"));

const left = end_run();
if (left.length > 0) {
  console.error(`LEFT BEHIND: ${left.join(", ")}`);
  process.exitCode = 1;
}
if (process.exitCode === 1) {
  process.exit(); // whatever hangs
}
