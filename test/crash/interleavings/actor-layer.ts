import { basename, dirname } from "node:path";
import { threadId as thread_id } from "node:worker_threads";
import type { FileLayer, FileStamp, OpenFile } from "../../../src/stores/file/file-layer.js";
import type { RecordingLayer } from "../recording-layer.js";
import type { Access } from "./causality.js";
import type { Scheduler } from "./scheduler.js";

/** What others can find out about an actor: a process like theirs, one that is gone, or one they cannot ask. */
export type SeenAs = "alive" | "gone" | "unknown";

/** Files that get their name when their content does not change any more. */
const IS_WHOLE = /\.(json|ndjson|lock)$/;

/** In a lock it stands where the thread does; far from every real one. */
const FIRST_THREAD = 1000;

export interface ActorView {
  actor: number;
  seen_as: (actor: number) => SeenAs;
}

/**
 * The disk as one of several processes reaches it. Every operation waits for its turn. Each actor is a process of its
 * own to the others: the locks on the disk name actors, and each reads of others what it could find out about them.
 */
export class ActorLayer implements FileLayer {
  opened = 0;
  closed = 0;
  readonly #disk: RecordingLayer;
  readonly #scheduler: Scheduler;
  readonly #view: ActorView;

  constructor(disk: RecordingLayer, scheduler: Scheduler, view: ActorView) {
    this.#disk = disk;
    this.#scheduler = scheduler;
    this.#view = view;
  }

  #do<T>(name: string, path: string, accesses: () => Access[], perform: () => Promise<T>): Promise<T> {
    const { actor, seen_as } = this.#view;
    // Who has lost a lock without knowing may have looked at it just before: no file system can look and act at once.
    const is_broken = seen_as(actor) !== "alive";
    const holds_turn = name === "readlink" && path.endsWith(".lock") && is_broken;
    return this.#scheduler.ask(actor, {
      label: () => `${name} ${basename(path)}`,
      accesses,
      perform,
      holds_turn,
      is_immediate: false,
    });
  }

  /** In a lock, what is the thread's. */
  get #thread(): number {
    return FIRST_THREAD + this.#view.actor;
  }

  #inode(path: string): number | undefined {
    try {
      return this.#disk.disk.find(path).inode;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }

  #reading(path: string): Access[] {
    const inode = this.#inode(path);
    if (inode === undefined || IS_WHOLE.test(path)) {
      return [reads(path)];
    }
    const is_directory = this.#disk.disk.node(inode).kind === "directory";
    return [reads(path), is_directory ? lists(path) : reads(content(inode))];
  }

  /** Puts a name there or takes it away, if that is possible now. */
  #naming(path: string, is_possible: boolean): Access[] {
    return is_possible ? [writes(path), changes(dirname(path))] : [reads(path)];
  }

  #opened(file: OpenFile, path: string): OpenFile {
    const inode = this.#inode(path) ?? 0;
    this.opened += 1;
    const read = () => [reads(content(inode))];
    const write = () => [writes(content(inode))];
    const is_shared = path.endsWith(".journal"); // what is in the others does not change once somebody else can open them
    const step = <T>(name: string, accesses: () => Access[], perform: () => Promise<T>) =>
      is_shared ? this.#do(name, path, accesses, perform) : perform();
    return {
      stat: () => step("file.stat", read, () => file.stat()),
      read: (buffer, position) => step("file.read", read, () => file.read(buffer, position)),
      write: (data, position) => step("file.write", write, () => file.write(data, position)),
      truncate: (size) => step("file.truncate", write, () => file.truncate(size)),
      // Nobody sees these while the machine runs.
      sync: () => file.sync(),
      datasync: () => file.datasync(),
      close: () => {
        this.closed += 1;
        return file.close();
      },
    };
  }

  async open(path: string, _how: "read" | "modify"): Promise<OpenFile> {
    const accesses = () => [reads(path)];
    return this.#do("open", path, accesses, async () => this.#opened(await this.#disk.open(path), path));
  }

  async create(path: string, mode: number): Promise<OpenFile> {
    const accesses = () => this.#naming(path, this.#inode(path) === undefined);
    return this.#do("create", path, accesses, async () => this.#opened(await this.#disk.create(path, mode), path));
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    return this.#do(
      "stat",
      path,
      () => this.#reading(path),
      () => this.#disk.stat(path),
    );
  }

  async real_path(path: string): Promise<string | undefined> {
    return this.#do(
      "real_path",
      path,
      () => [reads(path)],
      () => this.#disk.real_path(path),
    );
  }

  async names(directory: string): Promise<string[]> {
    return this.#do(
      "names",
      directory,
      () => [lists(directory)],
      () => this.#disk.names(directory),
    );
  }

  async make_directory(path: string, mode: number): Promise<void> {
    const accesses = () => this.#naming(path, this.#inode(path) === undefined);
    return this.#do("make_directory", path, accesses, () => this.#disk.make_directory(path, mode));
  }

  async remove_directory(path: string): Promise<void> {
    const accesses = () => [...this.#naming(path, true), lists(path)];
    return this.#do("remove_directory", path, accesses, () => this.#disk.remove_directory(path));
  }

  async rename(from: string, to: string): Promise<void> {
    const accesses = () => {
      const is_possible = this.#inode(from) !== undefined;
      return [...this.#naming(from, is_possible), ...this.#naming(to, is_possible)];
    };
    return this.#do("rename", to, accesses, () => this.#disk.rename(from, to));
  }

  async link(existing: string, path: string): Promise<void> {
    const accesses = () => [reads(existing), ...this.#naming(path, this.#inode(path) === undefined)];
    return this.#do("link", path, accesses, () => this.#disk.link(existing, path));
  }

  async unlink(path: string): Promise<void> {
    const accesses = () => this.#naming(path, this.#inode(path) !== undefined);
    return this.#do("unlink", path, accesses, () => this.#disk.unlink(path));
  }

  async symlink(target: string, path: string): Promise<void> {
    const named = target.replace(/^(\d+)-\d+/, `$1-${this.#thread}`);
    const accesses = () => this.#naming(path, this.#inode(path) === undefined);
    return this.#do("symlink", path, accesses, () => this.#disk.symlink(named, path));
  }

  async readlink(path: string): Promise<string> {
    const read = async () => this.#seen(await this.#disk.readlink(path));
    return this.#do("readlink", path, () => [reads(path)], read);
  }

  async sync_directory(path: string): Promise<void> {
    return this.#disk.sync_directory(path); // nobody sees it while the machine runs
  }

  /** A lock as this actor reads it. */
  #seen(target: string): string {
    const [, pid = "", thread = "", rest = ""] = /^(\d+)-(\d+)\.(.*)$/.exec(target) ?? [];
    const holder = Number(thread) - FIRST_THREAD;
    if (holder === this.#view.actor) {
      return `${pid}-${thread_id}.${rest}`;
    }
    switch (this.#view.seen_as(holder)) {
      case "alive":
        return target;
      case "gone":
        return `999999999-${thread}.${rest}`;
      case "unknown": {
        const [started, boot, , ...others] = rest.split(".");
        return `${pid}-${thread}.${[started, boot, "ffffff", ...others].join(".")}`;
      }
    }
  }
}

function reads(thing: string): Access {
  return { thing, writes: false };
}

function writes(thing: string): Access {
  return { thing, writes: true };
}

function content(inode: number): string {
  return `content ${inode}`;
}

/** Changes of the names in a directory commute with each other, and not with looking at all of them. */
function changes(directory: string): Access {
  return { thing: `names in ${directory}`, writes: false };
}

function lists(directory: string): Access {
  return { thing: `names in ${directory}`, writes: true };
}
