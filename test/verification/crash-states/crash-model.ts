import { locks_are_files } from "../lock-kind.js";
import { own_identity } from "../../../src/stores/file/lock/process-identity.js";
import { createHash } from "node:crypto";
import { CrashedFile, type Fate } from "./crashed-file.js";
import { MemoryDisk, ROOT_INODE } from "./memory-disk.js";
import { resized, written, type EntryChange, type LogEntry } from "./logged-disk.js";

/** What a device holds: names and bytes. What the inodes are besides, the living disk says. */
export class Holdings {
  readonly directories: Map<number, Map<string, number>>;
  readonly files: Map<number, Buffer>;

  constructor(directories: Holdings["directories"], files: Holdings["files"]) {
    this.directories = directories;
    this.files = files;
  }

  static of(disk: MemoryDisk): Holdings {
    const holdings = new Holdings(new Map(), new Map());
    for (const [inode, node] of disk.nodes) {
      if (node.kind === "directory") {
        holdings.directories.set(inode, new Map(node.entries));
      } else if (node.kind === "file") {
        holdings.files.set(inode, node.data);
      }
    }
    return holdings;
  }

  copy(): Holdings {
    const directories = new Map([...this.directories].map(([inode, entries]) => [inode, new Map(entries)]));
    return new Holdings(directories, new Map(this.files));
  }

  bytes(inode: number): Buffer {
    return this.files.get(inode) ?? Buffer.alloc(0);
  }

  apply(entry: LogEntry): void {
    if (entry.kind === "write") {
      this.files.set(entry.inode, written(this.bytes(entry.inode), entry.position, entry.data));
    } else if (entry.kind === "truncate") {
      this.files.set(entry.inode, resized(this.bytes(entry.inode), entry.size));
    } else if (entry.kind === "entries") {
      this.change(entry.changes);
    }
  }

  change(changes: readonly EntryChange[]): void {
    for (const { directory, name, inode } of changes) {
      const entries = this.directories.get(directory) ?? new Map<string, number>();
      this.directories.set(directory, entries);
      if (inode === undefined) {
        entries.delete(name);
      } else {
        entries.set(name, inode);
      }
    }
  }

  /** Every inode that a name leads to, directories before what is in them. */
  reachable(from = ROOT_INODE): number[] {
    const below = [...(this.directories.get(from)?.values() ?? [])];
    return [from, ...below.flatMap((inode) => this.reachable(inode))];
  }

  /** The same for what a reader could not tell apart. */
  key(): string {
    const keys = this.reachable().map((inode) => {
      const entries = this.directories.get(inode);
      const bytes = this.files.get(inode);
      const names = entries && [...entries].map(([name, to]) => `${name}:${to}`).join();
      return `${inode} ${names ?? ""} ${bytes ? hash_of(bytes) : ""}`;
    });
    return keys.join("\n");
  }

  /** As the machine finds it when it has booted again. */
  disk(live: MemoryDisk): MemoryDisk {
    const disk = new MemoryDisk();
    const entries = [...this.directories.values()].flatMap((names) => [...names]);
    const names_of = (inode: number) => entries.filter(([, of]) => of === inode).map(([name]) => name);
    for (const inode of this.reachable()) {
      const node = live.node(inode);
      if (node.kind === "directory") {
        disk.put(inode, { ...node, entries: new Map(this.directories.get(inode)) });
      } else if (node.kind === "link") {
        disk.put(inode, { ...node, target: of_dead_process(node.target) });
      } else {
        disk.put(inode, { ...node, data: with_left_lock(names_of(inode), inode, this.bytes(inode)) });
      }
    }
    return disk;
  }
}

const hashes = new WeakMap<Buffer, string>();

function hash_of(bytes: Buffer): string {
  const known = hashes.get(bytes) ?? createHash("sha1").update(bytes).digest("base64");
  hashes.set(bytes, known);
  return known;
}

/** Makes a lock that of a process that has ended. After a crash of the machine a lock ages first: that only takes time. */
export function of_dead_process(lock: string): string {
  return lock.replace(/^\d+/, "999999999");
}

/** Makes a lock file, or the claim to one, that of a process that has ended. One that was not written to its end would age: that takes time, too. */
export function with_left_lock(names: readonly string[], inode: number, data: Buffer): Buffer {
  const text = data.toString("latin1", 0, 100);
  const is_written = /^\d+-\d+[.].*[.][0-9a-f]{12}$/.test(text);
  // A file of messages has a temporary name, too, while it is linked to its parent.
  const is_temporary = locks_are_files() && names.every((name) => name.endsWith(".tmp")) && !text.startsWith("{");
  const is_lock = is_temporary || names.some((name) => name.endsWith("lock"));
  return is_lock
    ? Buffer.from(of_dead_process(is_written ? text : lock_of(1, inode.toString(16).padStart(12, "0"))))
    : data;
}

/** Returns the text of a lock of a process of this machine. */
export function lock_of(pid: number, token: string): string {
  const { started, boot, machine, namespaces } = own_identity();
  return [`${pid}-${pid}`, started, boot, machine, namespaces, token].join(".");
}

/** How many of the combinations of what was not synced are looked at. */
export interface Depth {
  /** With up to so many changes of names, every subset of them. */
  changes: number;
  /** With up to so many combinations of the fates of all blocks, every one. */
  fates: number;
  /** Where there are more: so many at random. */
  samples: number;
}

/** A device that keeps any part of what was not synced. */
export class StrictDevice {
  readonly #synced: Holdings;
  readonly #files = new Map<number, CrashedFile>();
  #pending: EntryChange[][] = [];

  constructor(initial: MemoryDisk) {
    this.#synced = Holdings.of(initial);
  }

  /** One more operation of the log has happened. */
  advance(entry: LogEntry): void {
    if (entry.kind === "write" || entry.kind === "truncate") {
      const file = this.#files.get(entry.inode) ?? new CrashedFile(this.#synced.bytes(entry.inode));
      const newest = file.newest;
      file.newest = entry.kind === "write" ? written(newest, entry.position, entry.data) : resized(newest, entry.size);
      this.#files.set(entry.inode, file);
    } else if (entry.kind === "sync") {
      const file = this.#files.get(entry.inode);
      if (file !== undefined) {
        this.#synced.files.set(entry.inode, file.newest);
        this.#files.delete(entry.inode);
      }
    } else if (entry.kind === "entries") {
      this.#pending.push(entry.changes);
    } else if (entry.kind === "sync_directory") {
      const touches = (changes: EntryChange[]) => changes.some(({ directory }) => directory === entry.directory);
      this.#pending.filter(touches).forEach((changes) => this.#synced.change(changes));
      this.#pending = this.#pending.filter((changes) => !touches(changes));
    }
  }

  /** What it may hold after a crash now. */
  *states(random: () => number, depth: Depth): Generator<Holdings> {
    for (const changes of this.#choices(random, depth)) {
      const holdings = this.#synced.copy();
      changes.forEach((change) => holdings.change(change));
      const reachable = new Set(holdings.reachable());
      const dirty = [...this.#files].filter(([inode]) => reachable.has(inode));
      const counts = dirty.map(([, file]) => file.parts);
      for (const fates of combinations(counts, random, depth)) {
        const state = new Holdings(holdings.directories, new Map(holdings.files)); // the names are only read from here on
        dirty.forEach(([inode, file], index) => state.files.set(inode, file.after(fates[index] ?? [])));
        yield state;
      }
    }
  }

  /** Sets of changes of names that may have reached the device. */
  #choices(random: () => number, depth: Depth): EntryChange[][][] {
    const pending = this.#pending;
    const count = pending.length;
    if (count <= depth.changes) {
      return Array.from({ length: 2 ** count }, (_, set) => pending.filter((_, bit) => (set >> bit) & 1));
    }
    const choices = Array.from({ length: count + 1 }, (_, kept) => pending.slice(0, kept));
    choices.push(...pending.map((_, left_out) => pending.filter((_, n) => n !== left_out)));
    for (let n = 0; n < depth.samples; n += 1) {
      choices.push(pending.filter(() => random() < 0.5));
    }
    return choices;
  }
}

/** A device at one moment, for those who look at a few of its states only. */
export class CrashMoment {
  readonly #device = new StrictDevice(new MemoryDisk());

  advance(entry: LogEntry): void {
    this.#device.advance(entry);
  }

  *states(live: MemoryDisk, random: () => number): Generator<MemoryDisk> {
    for (const state of this.#device.states(random, { changes: 2, fates: 1, samples: 2 })) {
      yield state.disk(live);
    }
  }
}

const FATES: readonly Fate[] = ["kept", "dropped", "torn"];

/** Fates for the parts of several files: all combinations where there are few. */
function* combinations(counts: number[], random: () => number, depth: Depth): Generator<Fate[][]> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const deal = (fate: (part: number, file: number) => Fate): Fate[][] => {
    let part = 0;
    return counts.map((count, file) => Array.from({ length: count }, () => fate(part++, file)));
  };
  if (3 ** total <= depth.fates) {
    for (let n = 0; n < 3 ** total; n += 1) {
      yield deal((part) => FATES[Math.floor(n / 3 ** part) % 3] ?? "kept");
    }
    return;
  }
  for (const fate of FATES) {
    yield deal(() => fate);
  }
  for (let one = 0; counts.length > 1 && one < counts.length; one += 1) {
    yield deal((_, file) => (file === one ? "kept" : "dropped"));
    yield deal((_, file) => (file === one ? "dropped" : "kept"));
  }
  for (let n = 0; n < depth.samples; n += 1) {
    const kept = Math.floor(random() * total);
    yield deal((part) => (part < kept ? "kept" : part > kept ? "dropped" : "torn"));
    yield deal(() => FATES[Math.floor(random() * 3)] ?? "kept");
  }
}
