import { Holdings } from "./crash-model.js";
import type { MemoryDisk } from "./memory-disk.js";
import type { LogEntry } from "./logged-disk.js";

const BLOCK = 4096;
/** So many places at which one write is cut off. */
const CUTS = 6;

/** A device on which everything arrives in the order in which it was asked for. */
export class OrderedDevice {
  readonly #certain: Holdings;
  #uncertain: LogEntry[] = [];

  constructor(initial: MemoryDisk) {
    this.#certain = Holdings.of(initial);
  }

  /** A sync makes all of it certain that came before what it syncs. */
  advance(entry: LogEntry): void {
    if (entry.kind === "sync" || entry.kind === "sync_directory") {
      const last = this.#uncertain.findLastIndex((other) =>
        entry.kind === "sync"
          ? (other.kind === "write" || other.kind === "truncate") && other.inode === entry.inode
          : other.kind === "entries" && other.changes.some(({ directory }) => directory === entry.directory),
      );
      this.#uncertain.splice(0, last + 1).forEach((other) => this.#certain.apply(other));
    } else if (entry.kind !== "begin" && entry.kind !== "end") {
      this.#uncertain.push(entry);
    }
  }

  /** What it holds after a crash now, from all that was asked for back to what is certain. */
  *states(): Generator<Holdings> {
    const holdings = this.#certain.copy();
    yield holdings.copy();
    for (const entry of this.#uncertain) {
      yield* cut_off(holdings, entry);
      holdings.apply(entry);
      yield holdings.copy();
    }
  }

  /** What a process leaves that is killed now, or in the middle of what it asks for next. */
  *killed(next: LogEntry | undefined): Generator<Holdings> {
    this.#uncertain.forEach((entry) => this.#certain.apply(entry)); // it is only asked for later states from here on
    this.#uncertain = [];
    yield this.#certain.copy();
    if (next !== undefined) {
      yield* cut_off(this.#certain, next);
    }
  }
}

/** A write of which only the beginning arrives. */
function* cut_off(holdings: Holdings, entry: LogEntry): Generator<Holdings> {
  if (entry.kind !== "write") {
    return;
  }
  const length = entry.data.length;
  const first_block = BLOCK - (entry.position % BLOCK);
  const ends = new Set([1, Math.floor(length / 2), length - 1, first_block, first_block + BLOCK]);
  for (const end of [...ends].filter((at) => at > 0 && at < length).slice(0, CUTS)) {
    const state = holdings.copy();
    state.apply({ ...entry, data: entry.data.subarray(0, end) });
    yield state;
  }
}
