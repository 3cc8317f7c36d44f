import { timers } from "../../../async/timers.js";
import type { SessionLock } from "./session-lock.js";

/** When a store keeps a session's lock between two changes. */
export interface LeasePolicy {
  /** The number of changes that must follow each other at once before a lease begins. */
  after: number;
  /** The number of changes of one lease. Then others get their chance. */
  most: number;
  /** The number of changes without a lease after others wanted the lock, too. */
  most_contended: number;
  /** The number of milliseconds in which nobody can break a lock: to break one takes ten seconds. */
  sure_ms: number;
  /** Runs a task in the first pause between two changes, in a few milliseconds. Returns what calls the task off. */
  in_a_pause(task: () => void): () => void;
}

/** The time after which a change does not follow at once. */
const PAUSE_MS = 5;

export const LEASE_POLICY: LeasePolicy = {
  after: 16,
  most: 64,
  most_contended: 1_000,
  sure_ms: 1_000,
  in_a_pause(task) {
    const timer = timers.set_timeout(task, PAUSE_MS);
    return () => timers.clear_timeout(timer);
  },
};

/** The most leases at a time: each keeps a file open. */
const MOST_LEASES = 64;

/** The files of a session under their lock. */
interface LockedFiles {
  readonly lock: SessionLock;
  release(): Promise<void>;
}

/** Changes of a session that follow each other at once. */
interface Burst<T> {
  /** The number of changes that count. Below zero: the number of changes that must come before any counts. */
  changes: number;
  /** The leased files, between two changes. */
  files: T | undefined;
  kept_at: number;
  call_off: () => void;
}

/**
 * Keeps the locks of sessions that are changed again and again, and their journals' handles, for the next change.
 * Releasing and taking both costs as much as the rest of an append, apart from its sync.
 */
export class SessionLeases<T extends LockedFiles> {
  readonly #policy: LeasePolicy;
  /** Called in a pause, to end the lease of a session behind the changes under way. */
  readonly #end: (id: string) => void;
  readonly #bursts = new Map<string, Burst<T>>();
  #count = 0;

  constructor(policy: LeasePolicy, end: (id: string) => void) {
    this.#policy = policy;
    this.#end = end;
  }

  /** Before a change: hands over the leased files of a session, if its lock is still held. */
  async take(id: string): Promise<T | undefined> {
    const burst = this.#bursts.get(id);
    burst?.call_off(); // a change is no pause, however long it takes
    const files = burst?.files;
    if (!burst || files === undefined) {
      return undefined;
    }
    burst.files = undefined;
    this.#count -= 1;
    if (timers.now() - burst.kept_at < this.#policy.sure_ms || (await files.lock.is_held())) {
      return files;
    }
    await files.release();
    return undefined;
  }

  /** Behind a change that others may follow at once. Returns true if its files are leased, and false if they are to be released. */
  keep(id: string, files: T): boolean {
    const { after, most, most_contended } = this.#policy;
    const burst = this.#bursts.get(id) ?? { changes: 0, files: undefined, kept_at: 0, call_off: () => undefined };
    this.#bursts.set(id, burst);
    burst.call_off = this.#policy.in_a_pause(() => (burst.files === undefined ? this.forget(id) : this.#end(id)));
    burst.changes = files.lock.was_contended ? -most_contended : burst.changes + 1;
    if (burst.changes > after + most || this.#count >= MOST_LEASES) {
      burst.changes = 0;
    }
    if (burst.changes <= after) {
      return false;
    }
    burst.files = files;
    burst.kept_at = timers.now();
    this.#count += 1;
    return true;
  }

  /** Behind any other change. */
  forget(id: string): void {
    this.#bursts.delete(id);
  }
}
