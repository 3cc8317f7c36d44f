import type { Message } from "@simulacra-ai/core";
import { KeyedQueues } from "../../async/queue.js";
import { has_code, SessionError } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import type { MetadataPatch } from "../../metadata.js";
import { ensure_directory, remove_if_there, type FilePolicy } from "./fs/durable-files.js";
import { is_errno, type FileLayer } from "./fs/file-layer.js";
import { Compactor, type IdlePolicy, type PreparedCompaction } from "./compaction.js";
import { despite_foreign_writes } from "./foreign-write.js";
import { with_open_files } from "./fs/open-files.js";
import { SessionFiles } from "./session-files.js";
import { SessionLeases, type LeasePolicy } from "./lock/session-leases.js";
import { SessionLock } from "./lock/session-lock.js";
import { DRAFT_ENDING, parse_temporary, SessionPaths, temporary_files } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import type { FileSessionFormat } from "./format/snapshot-header.js";
import { guarded, refused_id } from "./fs/storage-error.js";
import type { TrueNames } from "./true-names.js";

/** The result of a change, and the state that it leaves in memory. */
export interface Outcome<T> {
  result: T;
  /** `undefined`: nothing is known. */
  state: SessionState | undefined;
  /** More of this kind may follow at once. */
  may_go_on?: boolean;
}

/** The most sessions that are remembered. Each takes about 4 KB. */
const MOST_STATES = 1000;

type Change<T> = (files: SessionFiles) => Promise<Outcome<T>>;

/**
 * Runs the changes of sessions: of each session one at a time in this process, and under its lock. A change knows the state
 * that the change before left. Removes what killed processes have left, and begins compactions.
 */
export class SessionChanges {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #root: string;
  readonly #format: FileSessionFormat;
  readonly #names: TrueNames;
  readonly #queues = new KeyedQueues();
  readonly #leases: SessionLeases<SessionFiles>;
  readonly #compactor: Compactor;
  readonly #states = new Map<string, SessionState>();
  /** Sessions of which a change of this store failed: true if their files may hold half of it. */
  readonly #unfinished = new Map<string, boolean>();
  /** Temporary files that may have been left, by session: the tokens in their names. */
  readonly #orphans = new Map<string, Set<string>>();
  #prepared: Promise<void> | undefined;

  constructor(
    layer: FileLayer,
    policy: FilePolicy,
    root: string,
    {
      format,
      leasing,
      names,
      idle,
    }: { format: FileSessionFormat; leasing: LeasePolicy; names: TrueNames; idle: IdlePolicy },
  ) {
    this.#layer = layer;
    this.#policy = policy;
    this.#root = root;
    this.#format = format;
    this.#names = names;
    this.#leases = new SessionLeases(leasing, (id) => this.#end_lease(id));
    this.#compactor = new Compactor(layer, policy, idle, {
      finish: (id, compaction, signal) => this.#finish_compaction(id, compaction, signal),
      orphaned: (id, token) => this.#note_orphan(id, token),
    });
  }

  paths(id: string): SessionPaths {
    return new SessionPaths(this.#root, id);
  }

  /** @throws {AlikeId} if a session that was read has the name of another id. */
  async require_own_name(id: string, found: SessionState): Promise<void> {
    await this.#names.require_own(this.paths(id), this.#states.get(id), false, found);
  }

  /** Resolves when every change asked for so far, and every compaction under way, has ended, in whatever way. */
  async settled(): Promise<void> {
    await this.#queues.settled();
    await this.#compactor.settled();
  }

  /**
   * Runs a change behind those asked for before. Where it throws, what was known is forgotten. `shortcut` is asked
   * first, without a lock: what it answers is the result, and `undefined` means that the change is needed.
   */
  run<T>(id: string, task: Change<T>, shortcut?: () => Promise<{ result: T } | undefined>): Promise<T> {
    const change = () => despite_foreign_writes(() => this.#change(id, task));
    return guarded(id, () =>
      this.#queues.run(id, async () => {
        const answer = await shortcut?.();
        return answer ? answer.result : with_open_files(this.#layer, change);
      }),
    );
  }

  async #change<T>(id: string, task: Change<T>): Promise<T> {
    const paths = this.paths(id);
    const leased = await this.#leases.take(id);
    const files = leased ?? (await this.#open(paths));
    const { lock } = files;
    lock.begin_change();
    files.known = this.#states.get(id);
    this.#states.delete(id);
    let is_half_written = this.#unfinished.get(id) ?? false;
    const was_cut_short = lock.former !== undefined || this.#unfinished.has(id);
    let outcome: Outcome<T>;
    try {
      if (!leased) {
        await this.#names.require_own(paths, files.known, true);
      }
      await this.#remove_orphans(paths, lock);
      if (lock.former || is_half_written) {
        is_half_written = !(await is_taken_over(files, lock.former));
      }
      outcome = await task(files);
      if (was_cut_short) {
        await files.sweep_links(outcome.state?.metadata.parent_id);
        this.#unfinished.delete(id);
      }
    } catch (error) {
      this.#note_orphan(id, lock.token);
      this.#unfinished.set(id, is_half_written || !(error instanceof SessionError)); // what we refuse, we refuse before
      this.#leases.forget(id);
      const is_lost = !(await lock.is_held().catch(() => true));
      await files.release().catch(() => undefined); // the first error says more
      throw is_lost ? lock.broken(error) : error;
    }
    this.#remember(id, outcome.state);
    this.#compactor.note(paths, outcome.state);
    const may_go_on = outcome.may_go_on === true && !was_cut_short;
    if (!may_go_on) {
      this.#leases.forget(id);
    }
    if (!may_go_on || !this.#leases.keep(id, files)) {
      await files.release();
    }
    return outcome.result;
  }

  /** Remembers the state of a session. The session that was changed longest ago is forgotten: it is read again. */
  #remember(id: string, state: SessionState | undefined): void {
    if (state) {
      this.#states.set(id, state);
    }
    const [oldest] = this.#states.size > MOST_STATES ? this.#states.keys() : [];
    if (oldest !== undefined) {
      this.#states.delete(oldest);
    }
  }

  /** Releases a lock that others may want. */
  #end_lease(id: string): void {
    const ended = this.#queues.run(id, async () => {
      const files = await this.#leases.take(id);
      this.#leases.forget(id);
      await files?.release();
    });
    ended.catch(() => undefined); // a lock that could not be removed is nobody's, as every waiter sees
  }

  /** Takes the lock. A directory that was removed since it was looked at is made again. */
  async #open(paths: SessionPaths): Promise<SessionFiles> {
    const open = async () => {
      await this.#prepare();
      // first: the lock of a dead writer of another id is not this id's to take over
      await this.#names.require_own(paths, this.#states.get(paths.id), false);
      const lock = await SessionLock.acquire(this.#layer, paths, this.#policy);
      const context = { layer: this.#layer, policy: this.#policy, paths, lock, token: lock.token };
      return new SessionFiles(context, this.#format, this.#compactor, (of, messages, metadata) =>
        this.#create(of, messages, metadata),
      );
    };
    try {
      return await open();
    } catch (error) {
      if (!is_errno(error, "ENOENT")) {
        throw error;
      }
    }
    this.#prepared = undefined;
    await this.#prepare();
    return open().catch((error: unknown) => {
      throw is_errno(error, "ENOENT") ? refused_id(paths.id, error) : error; // the directory is there
    });
  }

  /** Makes the directory, and learns what killed processes left in it; once, unless that fails. */
  #prepare(): Promise<void> {
    this.#prepared ??= this.#scan().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #scan(): Promise<void> {
    await ensure_directory(this.#layer, this.#root, this.#policy);
    const names = await this.#layer.names(this.#root);
    await this.#names.learn(this.#root, names);
    for (const { id, token } of names.map(parse_temporary)) {
      this.#note_orphan(id, token);
    }
  }

  #note_orphan(id: string | undefined, token: string | undefined): void {
    if (id !== undefined && token !== undefined) {
      this.#orphans.set(id, (this.#orphans.get(id) ?? new Set()).add(token));
    }
  }

  /**
   * Under the session's lock: removes the temporary files that were left.
   *
   * Hazard: a lock that was taken over need not be the one that was found dead. Its holder may have lived, let go of it,
   * and taken it again in that moment. So all temporary files are removed then, even one that a living process is about to put in place.
   */
  async #remove_orphans(paths: SessionPaths, lock: SessionLock): Promise<void> {
    const { id, draft_lock } = paths;
    for (const token of lock.former ? await temporary_files(this.#layer, paths) : []) {
      if (token !== lock.token && (await this.#layer.stat(paths.temporary(token)))?.kind === "file") {
        this.#note_orphan(id, token); // others are claims to the lock
      }
    }
    this.#note_orphan(id, lock.former?.token);
    for (const token of this.#orphans.get(id) ?? []) {
      const is_of_draft = token.endsWith(DRAFT_ENDING);
      if (!is_of_draft || !(await this.#layer.stat(draft_lock.lock))) {
        await remove_if_there(this.#layer, paths.temporary(token)); // the holder of the draft's lock removes its files
      }
    }
    this.#orphans.delete(id);
  }

  async compact(id: string): Promise<void> {
    await this.#compactor.settled(id);
    const paths = this.paths(id);
    await this.run(
      id,
      async (files) => {
        const found = await files.state();
        const view = found?.journal && (await files.read());
        const state = view ? await files.compact(view, view.state.metadata) : found;
        this.#compactor.compacted(id);
        return { result: undefined, state };
      },
      async () => ((await this.#layer.stat(paths.journal)) ? undefined : { result: undefined }),
    );
  }

  /** Puts a prepared compaction in place, unless it was given up meanwhile. */
  async #finish_compaction(id: string, compaction: PreparedCompaction, signal: AbortSignal): Promise<void> {
    await this.run(
      id,
      async (files) => {
        const current = await files.state();
        const state = (current && (await files.finish_compaction(compaction, current))) ?? current;
        return { result: undefined, state, may_go_on: state?.journal !== undefined };
      },
      async () => (signal.aborted ? { result: undefined } : undefined),
    );
  }

  /**
   * Creates a session within a change of another one. A session that is there already stays as it is.
   *
   * Hazard: the change that is first in the queue of the new session may wait for its turn to open files, and this change
   * has one. So the new session's lock alone keeps others away.
   */
  async #create(id: string, messages: Message[], metadata: MetadataPatch): Promise<void> {
    const texts = messages_to_json(messages, id);
    await this.#change(id, async (files) => {
      const state = (await files.state()) ?? (await files.rewrite(texts, metadata, undefined));
      return { result: undefined, state };
    });
  }
}

/** Completes a session that was left in the middle of a change. Returns true if nothing is left to do. Damage is left to the change. */
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
