/**
 * Lists a directory of sessions in a process that has done nothing else, and sends what that took to the parent.
 *
 * Usage: list-worker.ts DIRECTORY ROUNDS, with an IPC channel for the report.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { FileSessionStore } from "@simulacra-ai/session";
import { collect_garbage, interleave, time } from "./harness.js";
import { parse_file } from "./plain-reader.js";
import { watched } from "./watched.js";

export interface ListReport {
  listed: number;
  /** Bytes by which the resident set was larger than before, at most, during and after the first list. */
  rss_growth: number;
  /** Milliseconds, round by round: a new store, a store that has listed before, and every file parsed. */
  list: number[];
  again: number[];
  parse: number[];
  /** A new store, and every file parsed, each when the system holds nothing of them; `undefined`: not to be had here. */
  cold: { list: number[]; parse: number[] } | undefined;
  /** The longest that the event loop stood still during each list, in milliseconds. */
  blocked: number[];
  /** The same while the process waits as long and does nothing: what the machine adds. */
  idle: number[];
}

/** What is written there tells Linux to forget what it holds of files. */
const CACHES = "/proc/sys/vm/drop_caches";

const [directory = "", rounds = ""] = process.argv.slice(2);
const old_store = new FileSessionStore(directory);

collect_garbage();
const rss_before = process.memoryUsage.rss();
let rss_peak = rss_before;
const first = await watched(
  () => old_store.list(),
  () => (rss_peak = Math.max(rss_peak, process.memoryUsage.rss())),
);
const listed = first.result.length;

const blocked: number[] = [];
const idle: number[] = [];
const list = async () => {
  const store = new FileSessionStore(directory);
  const began = performance.now();
  const { longest } = await watched(
    () => store.list(),
    () => undefined,
  );
  blocked.push(longest);
  const took = performance.now() - began;
  const control = await watched(
    () => setTimeout(took),
    () => undefined,
  );
  idle.push(control.longest);
  return took;
};
const again = () => time(() => old_store.list());
const parse = () => time(parse_all);
const timings = await interleave({ list, again, parse }, Number(rounds));
const cold = can_empty_caches()
  ? await interleave(
      { list: cold_first(() => new FileSessionStore(directory).list()), parse: cold_first(parse_all) },
      3,
    )
  : undefined;
process.send?.({ listed, rss_growth: rss_peak - rss_before, ...timings, cold, blocked, idle } satisfies ListReport);

async function parse_all(): Promise<void> {
  for (const name of await readdir(directory)) {
    await parse_file(join(directory, name));
  }
}

function can_empty_caches(): boolean {
  try {
    accessSync(CACHES, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function cold_first(task: () => Promise<unknown>): () => Promise<number> {
  return () => {
    execFileSync("sync");
    writeFileSync(CACHES, "3");
    return time(task);
  };
}
