/**
 * Lists the newest of many sessions in a process that has done nothing else, and sends what that took to the parent.
 *
 * Usage: many-worker.ts DIRECTORY ROUNDS, with an IPC channel for the report.
 */
import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { interleave, time } from "./harness.js";
import { watched } from "./watched.js";

/** Milliseconds, round by round. */
export interface ManyReport {
  /** The list of a new store. */
  first: number[];
  /** The list of a store that has listed before. */
  later: number[];
  /** Every file opened, its first 4 KB read, and closed, without a turn of the event loop in between. */
  opened: number[];
  /** The directory read, and `lstat` of every file. */
  looked: number[];
  /** One session deleted by a store that has listed before. */
  deleted: number[];
  /** The longest that the event loop stood still during each list. */
  blocked: number[];
  /** The most files that were open during a list. */
  descriptors: number;
}

const [directory = "", rounds = ""] = process.argv.slice(2);
const NEWEST = { limit: 20 };
const BYTES = Buffer.alloc(4096);
const blocked: number[] = [];
let descriptors = 0;
let next = 0;

async function list(store: FileSessionStore): Promise<number> {
  const before = open_files();
  const began = performance.now();
  const { longest } = await watched(
    () => store.list(NEWEST),
    () => (descriptors = Math.max(descriptors, open_files() - before)),
  );
  const took = performance.now() - began;
  blocked.push(longest);
  return took;
}

function open_files(): number {
  return process.platform === "linux" ? fs.readdirSync("/proc/self/fd").length : 0;
}

function each_file(look: (path: string) => void): () => Promise<number> {
  return () =>
    time(async () => {
      for (const name of fs.readdirSync(directory)) {
        look(join(directory, name));
      }
    });
}

const store = new FileSessionStore(directory, { durable: false });
await store.list(NEWEST);
const report = await interleave(
  {
    first: () => list(new FileSessionStore(directory)),
    later: () => list(store),
    opened: each_file((path) => {
      const fd = fs.openSync(path, "r");
      fs.readSync(fd, BYTES, 0, BYTES.length, 0);
      fs.closeSync(fd);
    }),
    looked: each_file((path) => fs.lstatSync(path)),
    deleted: () => time(() => store.delete(`session-${(next += 1)}`)),
  },
  Number(rounds),
);
process.send?.({ ...report, blocked, descriptors } satisfies ManyReport);
