import type { Message } from "@simulacra-ai/core";
import { KeyedQueues } from "../../async/queue.js";
import { changed_meanwhile, has_code, SessionError, session_not_found } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { merge_metadata, type MetadataPatch } from "../../metadata.js";
import { ensure_directory, remove_if_there, type FilePolicy } from "./fs/durable-files.js";
import { is_errno, type FileLayer } from "./fs/file-layer.js";
import { Compactor, type IdlePolicy } from "./compaction.js";
import { despite_foreign_writes } from "./foreign-write.js";
import { with_open_files } from "./fs/open-files.js";
import { SessionFiles } from "./session-files.js";
import { SessionLeases, type LeasePolicy } from "./lock/session-leases.js";
import { SessionLock } from "./lock/session-lock.js";
import { DRAFT_ENDING, parse_temporary, SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import type { FileSessionFormat } from "./format/snapshot-header.js";
import { guarded, refused_id } from "./fs/storage-error.js";
import { recovered_id } from "./store-rules.js";
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
 * The changes of sessions: one at a time in this process and under the session's lock, with what was known of the session,
 * and rid of what a killed process left. The steps of which a change is made, and the compactions that follow from them.
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
    this.#compactor = new Compactor(layer, policy, idle, (id, token) => this.#note_orphan(id, token));
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
        return answer === undefined ? with_open_files(this.#layer, change) : answer.result;
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
      if (leased === undefined) {
        await this.#names.require_own(paths, files.known, true);
      }
      await this.#remove_orphans(paths, lock);
      if (lock.former !== undefined || is_half_written) {
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
    if (outcome.state !== undefined) {
      this.#remember(id, outcome.state);
    }
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
  #remember(id: string, state: SessionState): void {
    this.#states.set(id, state);
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
      return new SessionFiles(context);
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
   * and taken it again in that moment. So all temporary files are removed then, whoever may be about to put one in place.
   */
  async #remove_orphans(paths: SessionPaths, lock: SessionLock): Promise<void> {
    const { id, draft_lock } = paths;
    for (const found of lock.former ? (await this.#layer.names(this.#root)).map(parse_temporary) : []) {
      const is_file = found.id === id && (await this.#layer.stat(paths.temporary(`${found.token}`)))?.kind === "file";
      if (is_file && found.token !== lock.token) {
        this.#note_orphan(id, found.token); // others are claims to the lock
      }
    }
    this.#note_orphan(id, lock.former?.token);
    for (const token of this.#orphans.get(id) ?? []) {
      const is_of_draft = token.endsWith(DRAFT_ENDING);
      if (!is_of_draft || (await this.#layer.stat(draft_lock.lock)) === undefined) {
        await remove_if_there(this.#layer, paths.temporary(token)); // whoever holds the draft's lock removes its files
      }
    }
    this.#orphans.delete(id);
  }

  /** Gives a compaction under way up, inside a change. */
  async give_up_compaction({ id }: SessionFiles): Promise<void> {
    await this.#compactor.give_up(id);
  }

  /** Adds messages and metadata: to the journal, or where a session has none and only metadata change, at once. */
  async extend(files: SessionFiles, texts: string[], given: MetadataPatch, old: SessionState): Promise<SessionState> {
    const { id } = files;
    const message_count = old.metadata.message_count + texts.length;
    const length = texts.reduce((sum, text) => sum + text.length, 0);
    const from = this.#compactor.is_full(old, length) ? await this.#compact_now(files, old) : old;
    const state = await files.extend(from, texts, merge_metadata(old.metadata, given, { id, message_count }));
    this.#note(id, state);
    return state;
  }

  /** Has a session compacted, sooner or later. */
  #note(id: string, state: SessionState | undefined): void {
    this.#compactor.note(this.paths(id), state, (compaction, signal) =>
      this.run(
        id,
        async (files) => {
          const current = await this.state(files);
          const after = (current && (await files.finish_compaction(compaction, current))) ?? current;
          this.#note(id, after);
          return { result: undefined, state: after, may_go_on: after?.journal !== undefined };
        },
        async () => (signal.aborted ? { result: undefined } : undefined),
      ),
    );
  }

  /** Inside a change: compacts a journal that must not grow, with what a compaction under way has done so far. */
  async #compact_now(files: SessionFiles, old: SessionState): Promise<SessionState> {
    const compaction = await this.#compactor.prepared(files.id);
    const finished = compaction && (await files.finish_compaction(compaction, old));
    if (finished !== undefined && !this.#compactor.is_full(finished, 0)) {
      return finished;
    }
    await this.give_up_compaction(files);
    const view = await files.read();
    return view === undefined ? old : files.compact(view, view.state.metadata);
  }

  async write(
    files: SessionFiles,
    texts: string[],
    given: MetadataPatch,
    old: SessionState | undefined,
  ): Promise<SessionState> {
    const metadata = merge_metadata(old?.metadata, given, { id: files.id, message_count: texts.length });
    return files.write(texts, metadata, old, this.#format);
  }

  /** Returns the stored state, from memory where the files are as they were left. */
  async state(files: SessionFiles): Promise<SessionState | undefined> {
    if (await files.is_known()) {
      return files.known;
    }
    const state = (await files.read())?.state;
    const is_of_several_files = state?.journal !== undefined || state?.form.data_ending !== state?.form.head_ending;
    if (is_of_several_files) {
      await files.sync_names(); // whoever put them there may have failed to
    }
    if (state?.journal?.relation !== "foreign") {
      return state;
    }
    await files.require_lock(); // without it, another writer's new journal looks like that
    const { messages, metadata } = await files.foreign_history();
    const rescued = recovered_id(files.id, state.journal.sum);
    await this.#create(rescued, messages, metadata);
    await files.set_journal_aside();
    return (await files.read())?.state;
  }

  /** The same, with what is damaged moved aside. */
  async readable(files: SessionFiles): Promise<SessionState | undefined> {
    try {
      if (!(await files.is_known())) {
        await files.read_all(); // a change of messages reads no more than the head, and would not notice
      }
      return await this.state(files);
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      await files.set_aside();
      await files.sweep_links(undefined);
      return undefined;
    }
  }

  async at_revision(files: SessionFiles, revision: string): Promise<SessionState> {
    const state = await this.state(files);
    if (state === undefined) {
      throw session_not_found(files.id);
    }
    if (state.revision !== revision) {
      throw changed_meanwhile(files.id);
    }
    return state;
  }

  async compact(id: string): Promise<void> {
    await this.#compactor.settled(id);
    const paths = this.paths(id);
    await this.run(
      id,
      async (files) => {
        const found = await this.state(files);
        const view = found?.journal && (await files.read());
        if (view === undefined) {
          return { result: undefined, state: found };
        }
        const state = await files.compact(view, view.state.metadata);
        this.#compactor.compacted(id);
        return { result: undefined, state };
      },
      async () => ((await this.#layer.stat(paths.journal)) === undefined ? { result: undefined } : undefined),
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
      const state = (await this.state(files)) ?? (await this.write(files, texts, metadata, undefined));
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
