import { timers } from "../../../async/timers.js";
import type { SessionFiles } from "../session-files.js";

/** When a store holds on to a session's lock between two changes. */
export interface HoldPolicy {
  /** After so many changes that follow each other at once. */
  after: number;
  /** For so many changes and milliseconds at most; then others get their chance for `rest` changes. */
  most: number;
  most_ms: number;
  rest: number;
  /** For so many changes it is taken anew each time, once somebody else wanted it too. */
  rest_if_contended: number;
  /** Nobody has broken a lock that was held so many milliseconds ago: that takes ten seconds. */
  sure_ms: number;
  /** Milliseconds of a clock that only goes forward. */
  now: () => number;
  /** Runs a task in the first pause between two changes, in a few milliseconds. Returns what calls it off. */
  in_a_pause(task: () => void): () => void;
}

/** A change that comes later does not follow at once. */
const PAUSE_MS = 5;

export const HOLD_POLICY: HoldPolicy = {
  after: 8,
  most: 100,
  most_ms: 2_000,
  rest: 24,
  rest_if_contended: 1_000,
  sure_ms: 1_000,
  now: () => timers.now(),
  in_a_pause(task) {
    const timer = timers.set_timeout(task, PAUSE_MS);
    return () => timers.clear_timeout(timer);
  },
};

/** The most sessions that are held at a time: each keeps a file open. */
const MOST_HELD = 64;

/** Changes of a session that follow each other at once. */
interface Burst {
  /** Below zero: so many are to come before they count. */
  changes: number;
  /** With the session's lock, between two changes; since when, and since when without a break. */
  files: SessionFiles | undefined;
  kept_at: number;
  began: number;
  call_off: () => void;
}

/**
 * The sessions that are changed again and again: their locks, and their journals' handles, wait for the next change.
 * To let go of them and take them again costs as much as the rest of an append, the sync aside.
 */
export class SessionHolds {
  readonly #policy: HoldPolicy;
  /** Called in a pause, where a session is held: to let go of it, behind what is under way. */
  readonly #end: (id: string) => void;
  readonly #bursts = new Map<string, Burst>();
  #held = 0;

  constructor(policy: HoldPolicy, end: (id: string) => void) {
    this.#policy = policy;
    this.#end = end;
  }

  /** Before a change: the files of a session that is held; they are the caller's now. */
  async take(id: string): Promise<SessionFiles | undefined> {
    const burst = this.#bursts.get(id);
    if (burst === undefined) {
      return undefined;
    }
    burst.call_off(); // a change is no pause, however long it takes
    const { files } = burst;
    burst.files = undefined;
    this.#held -= files === undefined ? 0 : 1;
    const { sure_ms, now } = this.#policy;
    if (files === undefined || now() - burst.kept_at < sure_ms || (await files.lock.is_held())) {
      return files;
    }
    await files.release();
    return undefined;
  }

  /** Behind a change that others may follow at once. Returns whether its files are held. */
  keep(id: string, files: SessionFiles): boolean {
    const { after, most, most_ms, rest, rest_if_contended, now } = this.#policy;
    const time = now();
    const burst = this.#bursts.get(id) ?? new_burst(time);
    this.#bursts.set(id, burst);
    burst.call_off = this.#policy.in_a_pause(() => this.#pause(id, burst));
    burst.changes = files.lock.was_contended ? -rest_if_contended : burst.changes + 1;
    if (burst.changes <= after) {
      burst.began = time;
      return false;
    }
    if (burst.changes > after + most || time - burst.began > most_ms || this.#held >= MOST_HELD) {
      burst.changes = -rest;
      return false;
    }
    burst.files = files;
    this.#held += 1;
    burst.kept_at = time;
    return true;
  }

  /** Behind any other change. */
  forget(id: string): void {
    this.#bursts.delete(id);
  }

  #pause(id: string, burst: Burst): void {
    if (burst.files === undefined) {
      this.#bursts.delete(id);
    } else {
      this.#end(id);
    }
  }
}

function new_burst(began: number): Burst {
  return { changes: 0, files: undefined, kept_at: began, began, call_off: () => undefined };
}
