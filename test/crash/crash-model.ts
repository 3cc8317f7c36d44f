import { pick } from "../stores/helpers.js";
import { MemoryDisk, ROOT_INODE } from "./memory-disk.js";
import { resized, written, type EntryChange, type LogEntry } from "./recording-layer.js";

const BLOCK = 4096;

type Fate = "kept" | "dropped" | "torn";

/** What has not been synced of one file. */
interface Contents {
  synced: Buffer;
  /** With everything that was written since. */
  newest: Buffer;
}

/** What a device holds for certain at one moment, and what it may hold besides. */
export class CrashMoment {
  readonly #files = new Map<number, Contents>();
  readonly #directories = new Map<number, Map<string, number>>([[ROOT_INODE, new Map()]]);
  #pending: EntryChange[][] = [];

  /** One more operation of the log has happened. */
  advance(entry: LogEntry): void {
    switch (entry.kind) {
      case "write": {
        const contents = this.#contents(entry.inode);
        contents.newest = written(contents.newest, entry.position, entry.data);
        break;
      }
      case "truncate": {
        const contents = this.#contents(entry.inode);
        contents.newest = resized(contents.newest, entry.size);
        break;
      }
      case "sync": {
        const contents = this.#contents(entry.inode);
        contents.synced = contents.newest;
        break;
      }
      case "entries":
        this.#pending.push(entry.changes);
        break;
      case "sync_directory": {
        const touches = (changes: EntryChange[]) => changes.some(({ directory }) => directory === entry.directory);
        this.#pending.filter(touches).forEach((changes) => apply(this.#directories, changes));
        this.#pending = this.#pending.filter((changes) => !touches(changes));
      }
    }
  }

  #contents(inode: number): Contents {
    let contents = this.#files.get(inode);
    if (contents === undefined) {
      contents = { synced: Buffer.alloc(0), newest: Buffer.alloc(0) };
      this.#files.set(inode, contents);
    }
    return contents;
  }

  /** What the device may hold after a crash now: chosen combinations of all that was not synced. */
  *states(live: MemoryDisk, random: () => number): Generator<MemoryDisk> {
    const count = this.#pending.length;
    const choices = Array.from({ length: count + 1 }, (_, kept) => this.#pending.slice(0, kept));
    for (let n = 0; count > 1 && n < 8; n += 1) {
      choices.push(this.#pending.filter(() => random() < 0.5));
    }
    const is_dirty = [...this.#files.values()].some(({ synced, newest }) => !synced.equals(newest));
    const fates: (() => Fate)[] = [() => "kept"];
    if (is_dirty) {
      fates.push(
        () => "dropped",
        () => "torn",
        () => pick(random, ["kept", "dropped", "torn"]),
        () => pick(random, ["kept", "dropped", "torn"]),
      );
    }
    for (const changes of choices) {
      for (const fate of fates) {
        yield this.#state(live, changes, fate);
      }
    }
  }

  #state(live: MemoryDisk, changes: EntryChange[][], fate: () => Fate): MemoryDisk {
    const directories = new Map([...this.#directories].map(([inode, entries]) => [inode, new Map(entries)]));
    changes.forEach((change) => apply(directories, change));
    const disk = new MemoryDisk();
    const add = (inode: number): void => {
      const node = live.node(inode);
      if (node.kind === "directory") {
        const entries = directories.get(inode) ?? new Map<string, number>();
        disk.put(inode, { ...node, entries });
        [...entries.values()].forEach(add);
      } else if (node.kind === "link") {
        disk.put(inode, { ...node, target: of_another_boot(node.target) });
      } else {
        disk.put(inode, { ...node, data: crashed(this.#contents(inode), fate) });
      }
    };
    add(ROOT_INODE);
    return disk;
  }
}

function apply(directories: Map<number, Map<string, number>>, changes: EntryChange[]): void {
  for (const { directory, name, inode } of changes) {
    const entries = directories.get(directory) ?? new Map<string, number>();
    directories.set(directory, entries);
    if (inode === undefined) {
      entries.delete(name);
    } else {
      entries.set(name, inode);
    }
  }
}

/** Each block as it was, as it was to be, or the one up to the middle of the difference and the other behind it. */
function crashed({ synced, newest }: Contents, fate: () => Fate): Buffer {
  if (synced.equals(newest)) {
    return synced;
  }
  const size_fate = fate();
  const size = size_fate === "dropped" ? synced.length : newest.length;
  const [from, to] = [resized(synced, size), resized(newest, size)];
  const result = Buffer.from(from);
  for (let begin = 0; begin < size; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, size);
    const block_fate = fate();
    if (block_fate !== "dropped") {
      to.copy(result, begin, begin, block_fate === "kept" ? end : middle_of_difference(from, to, begin, end));
    }
  }
  return result;
}

function middle_of_difference(a: Buffer, b: Buffer, begin: number, end: number): number {
  let [first, last] = [begin, end];
  while (first < last && a[first] === b[first]) {
    first += 1;
  }
  while (last > first && a[last - 1] === b[last - 1]) {
    last -= 1;
  }
  return Math.floor((first + last) / 2);
}

/** A crash of the machine: whoever held a lock did so before it booted. */
function of_another_boot(lock: string): string {
  const parts = lock.split(".");
  parts[2] = "b007";
  return parts.join(".");
}
