import { has_code, is_error, reason_of, SessionError } from "../../errors.js";
import { WriteQueue } from "../../async/queue.js";
import { ensure_directory, remove_if_there, type FilePolicy } from "./durable-files.js";
import { is_errno, type FileLayer } from "./file-layer.js";
import { despite_foreign_writes } from "./foreign-write.js";
import { SessionFiles } from "./session-files.js";
import { SessionHolds, type HoldPolicy } from "./session-holds.js";
import { SessionLock } from "./session-lock.js";
import { SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";

/** What follows an id in the name of a temporary file. */
const TEMPORARY = /^\.([0-9a-f]{12})\.tmp$/;

/** What a change of a session leaves in memory; `undefined`: nothing is known. */
export interface Outcome<T> {
  result: T;
  state: SessionState | undefined;
  /** More of this kind may follow at once. */
  may_go_on?: boolean;
}

/** What failed changes have left until one succeeds. */
interface Unfinished {
  /** With which they named files that may still be there. */
  tokens: string[];
  /** The session's own files may hold half a change. */
  is_half_written: boolean;
}

/**
 * The way to a session's files for a change: one at a time in this process and under the session's lock, with what
 * was known of it, and rid of what a killed process left.
 */
export class SessionAccess {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #root: string;
  readonly #queues = new Map<string, WriteQueue>();
  readonly #holds: SessionHolds;
  readonly #states = new Map<string, SessionState>();
  /** Changes of this process that failed, by session. */
  readonly #unfinished = new Map<string, Unfinished>();
  #prepared: Promise<Map<string, string[]>> | undefined;

  constructor(layer: FileLayer, policy: FilePolicy, root: string, holding: HoldPolicy) {
    this.#layer = layer;
    this.#policy = policy;
    this.#root = root;
    this.#holds = new SessionHolds(holding, (id) => this.#end_hold(id));
  }

  paths(id: string): SessionPaths {
    return new SessionPaths(this.#root, id);
  }

  /**
   * Runs a change behind those asked for before. Where it throws, what was known is forgotten. `shortcut` is asked
   * first, without a lock: what it answers is the result, and `undefined` means that the change is needed.
   */
  async change<T>(
    id: string,
    task: (files: SessionFiles, known: SessionState | undefined) => Promise<Outcome<T>>,
    shortcut: () => Promise<{ result: T } | undefined> = () => Promise.resolve(undefined),
  ): Promise<T> {
    return this.#queue(id).run(async () => {
      const answer = await shortcut();
      return answer === undefined ? despite_foreign_writes(() => this.#change(id, task)) : answer.result;
    });
  }

  #queue(id: string): WriteQueue {
    let queue = this.#queues.get(id);
    if (queue === undefined) {
      queue = new WriteQueue(undefined, () => this.#queues.delete(id));
      this.#queues.set(id, queue);
    }
    return queue;
  }

  /** Resolves when every change asked for so far, of one session or of all, has ended, in whatever way. */
  async settled(id?: string): Promise<void> {
    const queues = [...this.#queues].filter(([of]) => id === undefined || of === id);
    await Promise.all(queues.map(([, queue]) => queue.settled()));
  }

  async #change<T>(
    id: string,
    task: (files: SessionFiles, known: SessionState | undefined) => Promise<Outcome<T>>,
  ): Promise<T> {
    const paths = this.paths(id);
    const held = await this.#holds.take(id);
    const { files, leftovers } = held ? { files: held, leftovers: undefined } : await this.#open(paths);
    const { lock } = files;
    const known = this.#states.get(id);
    this.#states.delete(id);
    const unfinished = this.#unfinished.get(id) ?? { tokens: [], is_half_written: false };
    const was_cut_short = lock.former !== undefined || this.#unfinished.has(id);
    let outcome: Outcome<T>;
    try {
      await this.#clean(paths, [...(leftovers?.get(id) ?? []), lock.former?.token, ...unfinished.tokens]);
      leftovers?.delete(id);
      unfinished.tokens = [];
      if (lock.former !== undefined) {
        await this.#sweep(paths, lock);
      }
      if (lock.former !== undefined || unfinished.is_half_written) {
        unfinished.is_half_written = !(await is_taken_over(files, lock.former));
      }
      outcome = await task(files, known);
      if (was_cut_short) {
        await files.sweep_links(outcome.state?.metadata.parent_id);
        this.#unfinished.delete(id);
      }
    } catch (error) {
      unfinished.tokens.push(lock.token);
      unfinished.is_half_written ||= !(error instanceof SessionError); // what we refuse, we refuse before
      this.#unfinished.set(id, unfinished);
      this.#holds.forget(id);
      const is_lost = !(await lock.is_held().catch(() => true));
      await files.release().catch(() => undefined); // the first error says more
      throw is_lost ? lock.broken(error) : error;
    }
    if (outcome.state !== undefined) {
      this.#states.set(id, outcome.state);
    }
    if (outcome.may_go_on !== true || was_cut_short) {
      this.#holds.forget(id);
      await files.release();
    } else if (!this.#holds.keep(id, files)) {
      await files.release();
    }
    return outcome.result;
  }

  /** Others may want it. */
  #end_hold(id: string): void {
    const ended = this.#queue(id).run(async () => {
      const files = await this.#holds.take(id);
      this.#holds.forget(id);
      await files?.release();
    });
    ended.catch(() => undefined); // a lock that could not be removed is nobody's, as every waiter sees
  }

  /** Takes the lock. A directory that was removed since it was looked at is made again. */
  async #open(paths: SessionPaths): Promise<{ files: SessionFiles; leftovers: Map<string, string[]> }> {
    const context = { layer: this.#layer, policy: this.#policy, paths };
    const open = async (leftovers: Map<string, string[]>) => {
      const lock = await SessionLock.acquire(this.#layer, paths);
      return { files: new SessionFiles({ ...context, lock }), leftovers };
    };
    try {
      return await open(await this.#prepare());
    } catch (error) {
      if (!is_errno(error, "ENOENT")) {
        throw error;
      }
    }
    this.#prepared = undefined;
    return open(await this.#prepare());
  }

  /** The directory is there, and what killed processes left in it is known; once, unless it fails. */
  #prepare(): Promise<Map<string, string[]>> {
    this.#prepared ??= this.#scan().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #scan(): Promise<Map<string, string[]>> {
    await ensure_directory(this.#layer, this.#root, this.#policy);
    const leftovers = new Map<string, string[]>();
    for (const name of await this.#layer.names(this.#root)) {
      const [, id, token] = /^(.+)\.([0-9a-f]{12}(?:\.draft)?)\.tmp$/.exec(name) ?? [];
      if (id !== undefined && token !== undefined) {
        leftovers.set(id, [...(leftovers.get(id) ?? []), token]);
      }
    }
    return leftovers;
  }

  /**
   * After a lock was taken over: files that anybody may be about to put in place are removed. The lock that was replaced
   * need not be the one that was found dead: its holder may have lived, let go of it, and taken it again in that moment.
   */
  async #sweep(paths: SessionPaths, lock: SessionLock): Promise<void> {
    for (const name of await this.#layer.names(this.#root)) {
      const token = name.startsWith(paths.id) && TEMPORARY.exec(name.slice(paths.id.length))?.[1];
      if (typeof token !== "string" || token === lock.token) {
        continue;
      }
      const path = paths.temporary(token);
      if ((await this.#layer.stat(path))?.kind === "file") {
        await remove_if_there(this.#layer, path); // others are claims to the lock
      }
    }
  }

  async #clean(paths: SessionPaths, tokens: readonly (string | undefined)[]): Promise<void> {
    for (const token of tokens) {
      const is_of_draft = token?.includes(".") === true; // whoever holds its lock removes it, or is writing it
      const is_locked = is_of_draft && (await this.#layer.stat(paths.draft_lock.lock)) !== undefined;
      if (token !== undefined && !is_locked) {
        await remove_if_there(this.#layer, paths.temporary(token));
      }
    }
  }
}

/** Whether a session that was left in the middle of a change is as after one. What is damaged is left to the change. */
async function is_taken_over(files: SessionFiles, former: SessionLock["former"]): Promise<boolean> {
  try {
    await files.take_over();
    return true;
  } catch (error) {
    const is_full = is_errno(error, "ENOSPC", "EDQUOT");
    const can_wait = is_full && former?.life !== "unknown"; // who is gone writes to nothing any more
    if (!can_wait && !has_code(error, "corrupt")) {
      throw error;
    }
    return !is_full;
  }
}

/** What the operating system answered, as an error of this package. */
export function storage_error(error: unknown, session_id: string | undefined): SessionError {
  if (error instanceof SessionError) {
    return has_code(error, "corrupt") && session_id !== undefined && error.session_id === undefined
      ? new SessionError(error.code, error.message, { cause: error.cause, session_id, path: error.path })
      : error;
  }
  const path = is_error(error) && "path" in error ? String(error.path) : undefined;
  const full = is_errno(error, "ENOSPC", "EDQUOT") ? "the disk is full: " : "";
  return new SessionError("storage", `the storage failed: ${full}${reason_of(error)}`, {
    cause: error,
    session_id,
    path,
  });
}
