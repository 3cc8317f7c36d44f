import { basename } from "node:path";
import { with_file } from "../../../src/stores/file/fs/durable-files.js";
import {
  read_range,
  type FileLayer,
  type FileStamp,
  type OpenFile,
  type PeekedFile,
} from "../../../src/stores/file/fs/file-layer.js";
import { own_identity } from "../../../src/stores/file/lock/process-identity.js";
import { locks_are_files, refused_symlink } from "../lock-kind.js";
import type { Access } from "./causality.js";
import { accesses_of, perform, type DiskOperation, type Outcome, type Place } from "./disk-operation.js";
import type { LiveScheduler } from "./live-scheduler.js";
import type { Event } from "./memory.js";
import type { Operation } from "./order.js";

/** What others can find out about an actor: a process like theirs, one that is gone, or one they cannot ask. */
export type SeenAs = "alive" | "gone" | "unknown";

/** In a lock it stands where the thread does; far from every real one. */
const FIRST_THREAD = 1000;

const LOCK = /^\d+-\d+[.]\d*[.].*[.][0-9a-f]{12}$/;
const MOST_LOCK_BYTES = 256;
/** The paths of locks, and of the claims to locks. */
const IS_LOCK = /lock$|[.]tmp$/;

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
  /** The inodes of what it has opened. */
  readonly files: number[] = [];
  readonly #place: Place;
  readonly #scheduler: LiveScheduler;
  readonly #view: ActorView;

  constructor(place: Place, scheduler: LiveScheduler, view: ActorView) {
    this.#place = place;
    this.#scheduler = scheduler;
    this.#view = view;
  }

  #do(operation: DiskOperation): Promise<unknown> {
    const { actor, seen_as } = this.#view;
    // Who has lost a lock without knowing may have looked at it just before: no file system can look and act at once.
    const is_broken = seen_as(actor) !== "alive";
    const is_look = operation.name === "readlink" || operation.name === "peek";
    const holds_turn = is_look && operation.path.endsWith(".lock") && is_broken;
    return this.#scheduler.ask(actor, new Asking({ kind: "asks", operation, holds_turn }, this.#place, this.files));
  }

  /** What nobody else can see or come between. */
  #do_at_once(operation: DiskOperation): Promise<unknown> {
    return this.#scheduler.do_at_once(this.#view.actor, operation, () => perform(operation, this.#place, this.files));
  }

  /** In a lock, what is the thread's. */
  get #thread(): number {
    return FIRST_THREAD + this.#view.actor;
  }

  #opened(file: number, path: string): OpenFile {
    this.opened += 1;
    // What is in the others does not change once somebody else can open them.
    const is_changed = path.endsWith(".journal") || (locks_are_files() && IS_LOCK.test(path));
    const step = is_changed
      ? (operation: DiskOperation) => this.#do(operation)
      : (operation: DiskOperation) => this.#do_at_once(operation);
    return {
      stat: async () => (await step({ name: "file.stat", path, file })) as FileStamp,
      read: async (buffer, position) => {
        const found = await step({ name: "file.read", path, file, position, length: buffer.length });
        return (found as Buffer).copy(buffer);
      },
      write: async (bytes, position) => {
        const text = Buffer.from(bytes).toString("latin1", 0, MOST_LOCK_BYTES);
        const data = this.#place.bytes.one_of(LOCK.test(text) ? Buffer.from(this.#named(text)) : Buffer.from(bytes));
        return (await step({ name: "file.write", path, file, position, data })) as number;
      },
      truncate: async (size) => void (await step({ name: "file.truncate", path, file, size })),
      // Nobody sees these while the machine runs.
      sync: async () => void (await this.#do_at_once({ name: "file.sync", path, file })),
      datasync: async () => void (await this.#do_at_once({ name: "file.datasync", path, file })),
      close: async () => {
        this.closed += 1;
        await this.#do_at_once({ name: "file.close", path, file });
      },
    };
  }

  /** Looks at a lock file in one step, as the layer of Node.js does. Other files are read in single steps. */
  async peek(path: string, length: number): Promise<PeekedFile> {
    if (IS_LOCK.test(path)) {
      const { stamp, bytes } = (await this.#do({ name: "peek", path })) as { stamp: FileStamp; bytes: Buffer };
      const text = bytes.toString("latin1");
      return { stamp, bytes: LOCK.test(text) ? Buffer.from(this.#seen(text)) : bytes };
    }
    const file = await this.open(path, "read");
    return with_file(file, async () => {
      const stamp = await file.stat();
      return { stamp, bytes: await read_range(file, 0, Math.min(length, stamp.size)) };
    });
  }

  async open(path: string, _how: "read" | "modify"): Promise<OpenFile> {
    return this.#opened((await this.#do({ name: "open", path })) as number, path);
  }

  async create(path: string, mode: number): Promise<OpenFile> {
    return this.#opened((await this.#do({ name: "create", path, mode })) as number, path);
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    return (await this.#do({ name: "stat", path })) as FileStamp | undefined;
  }

  async real_path(path: string): Promise<string | undefined> {
    return (await this.#do({ name: "real_path", path })) as string | undefined;
  }

  async names(path: string): Promise<string[]> {
    return (await this.#do({ name: "names", path })) as string[];
  }

  async make_directory(path: string, mode: number): Promise<void> {
    await this.#do({ name: "make_directory", path, mode });
  }

  async remove_directory(path: string): Promise<void> {
    await this.#do({ name: "remove_directory", path });
  }

  async rename(from: string, path: string): Promise<void> {
    await this.#do({ name: "rename", path, from });
  }

  async link(from: string, path: string): Promise<void> {
    await this.#do({ name: "link", path, from });
  }

  async unlink(path: string): Promise<void> {
    await this.#do({ name: "unlink", path });
  }

  async symlink(target: string, path: string): Promise<void> {
    if (locks_are_files()) {
      return refused_symlink();
    }
    await this.#do({ name: "symlink", path, target: this.#named(target) });
  }

  /** A lock of this actor as it is on the disk: as long as the longest text that another one reads in its place. */
  #named(target: string): string {
    return target.replace(
      /^(\d+)-\d+/,
      (_, pid: string) => `${pid.padStart(9, "0")}-${String(this.#thread).padStart(9, "0")}`,
    );
  }

  async readlink(path: string): Promise<string> {
    return this.#seen((await this.#do({ name: "readlink", path })) as string);
  }

  async sync_directory(path: string): Promise<void> {
    await this.#do_at_once({ name: "sync_directory", path }); // nobody sees it while the machine runs
  }

  /** A lock as this actor reads it. */
  #seen(target: string): string {
    const [, pid = "", thread = "", rest = ""] = /^(\d+)-(\d+)\.(.*)$/.exec(target) ?? [];
    const holder = Number(thread) - FIRST_THREAD;
    const own = `${Number(pid)}-${own_identity().thread}.${rest}`;
    if (holder === this.#view.actor) {
      return own;
    }
    switch (this.#view.seen_as(holder)) {
      case "alive":
        return own; // all actors are of one thread, which knows whether a lock is held
      case "gone":
        return `999999999-${thread}.${rest}`;
      case "unknown": {
        const [started, boot, , ...others] = rest.split(".");
        return `${pid}-${thread}.${[started, boot, "ffffff", ...others].join(".")}`;
      }
    }
  }
}

/** An operation that is yet to be done. */
export class Asking implements Operation {
  readonly event: Extract<Event, { kind: "asks" }>;
  readonly is_immediate = false;
  readonly #place: Place;
  readonly #files: number[];

  constructor(event: Extract<Event, { kind: "asks" }>, place: Place, files: number[]) {
    this.event = event;
    this.#place = place;
    this.#files = files;
  }

  get holds_turn(): boolean {
    return this.event.holds_turn;
  }

  label(): string {
    return `${this.event.operation.name} ${basename(this.event.operation.path)}`;
  }

  accesses(): Access[] {
    return accesses_of(this.event.operation, this.#place.disk, this.#files);
  }

  perform(): Outcome {
    return perform(this.event.operation, this.#place, this.#files);
  }
}
