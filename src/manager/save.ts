import { randomUUID } from "node:crypto";
import { until_settled } from "../async/retry.js";
import { changed_meanwhile, has_code, ignore, SessionError } from "../errors.js";
import { fork_point_of, lineage_of, metadata_beside } from "../fork-rules.js";
import { fork_point, inherits } from "../lineage.js";
import { begins_with, common_prefix, type Messages } from "../messages.js";
import type { MetadataPatch } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import { prepare_replacement, secure_fork } from "./fork-protection.js";
import type { History } from "./history.js";
import type { SessionState, SharedSession, Version } from "./session-state.js";
import type { Metadata, StoreAccess, Written } from "./store-access.js";
import type { ConflictEvent, SessionManagerOptions } from "./types.js";

export interface SaveTaskParts {
  readonly store: StoreAccess;
  readonly options: Required<SessionManagerOptions>;
  readonly family: { shared_of(id: string): SharedSession };
}

/**
 * One write: stores the oldest version of a session.
 *
 * Hazard: a write that reports a failure may have taken effect, and other writers exist. So the step is chosen when the
 * write runs. The task appends if the stored messages are known to be the beginning of the version. Otherwise the task
 * reads the record, compares by value, and appends, replaces, or stores our history as a fork.
 */
export class SaveTask {
  readonly #parts: SaveTaskParts;
  readonly #store: StoreAccess;
  readonly session: SessionState;
  readonly history: History;
  readonly #version: Version;
  readonly #as_begun: Version;
  readonly #on_conflict: "fork" | "error";
  readonly #lineage: MetadataPatch | undefined;
  readonly #read: (from: number, to: number) => Messages;
  #metadata: Metadata;
  #messages: Messages | undefined;

  constructor(parts: SaveTaskParts, session: SessionState, version: Version, on_conflict = parts.options.on_conflict) {
    this.#parts = parts;
    this.#store = parts.store;
    this.session = session;
    this.history = version.history;
    this.#version = version;
    this.#as_begun = { ...version };
    this.#on_conflict = on_conflict;
    const { metadata, given } = version;
    const { stored, parent } = session;
    this.#metadata = { ...metadata, ...given, ...(parent && { parent_id: parent.id }) } as Metadata;
    this.#lineage = given && lineage_of(given);
    this.#read = version.history.reader(stored?.history === version.history ? stored.count : 0);
  }

  /** The storable messages of the version, inherited ones included. */
  get messages(): Messages {
    return (this.#messages ??= this.#read(0, this.#as_begun.count));
  }

  /** Runs the write. If the write fails, the version waits as before, without metadata that the store never accepts. */
  async run(): Promise<ConflictEvent | undefined> {
    try {
      return await this.#write();
    } catch (error) {
      if (this.#is_refused(error)) {
        this.#version.given = undefined;
        this.#version.refused = error;
      }
      this.session.mark_uncertain(); // the write may have taken effect
      throw error;
    }
  }

  /** True if the store will never accept the metadata of the application. */
  #is_refused(error: unknown): boolean {
    const is_unreadable = has_code(error, "corrupt", "conflict");
    const is_parent_unreadable = is_unreadable && (error as SessionError).session_id !== this.session.id;
    const is_refused = has_code(error, "invalid_input", "invalid_id", "lineage");
    return this.#version.given !== undefined && (is_refused || (this.#lineage !== undefined && is_parent_unreadable));
  }

  async #write(): Promise<ConflictEvent | undefined> {
    const { stored } = this.session;
    try {
      if (!this.#lineage && !stored) {
        return await this.#rewrite(null);
      }
      if (!this.#lineage && stored?.history === this.history && stored.is_certain) {
        return await this.#append(this.#read(stored.count, this.#as_begun.count), stored.revision);
      }
    } catch (error) {
      const is_conflict = has_code(error, "conflict") || (has_code(error, "not_found") && stored !== undefined);
      if (!is_conflict) {
        throw error;
      }
    }
    const diverged = await until_settled(this.session.id, () => this.#reconcile());
    return diverged && this.#conflict(diverged);
  }

  /** Appends messages to the record at a revision. */
  async #append(added: Messages, revision: string | undefined): Promise<undefined> {
    const extended = await this.#store.extend(this.session.id, added, this.#metadata, revision);
    if (!extended) {
      return this.#rewrite(revision ?? null);
    }
    this.#mark_stored(extended);
  }

  async #rewrite(revision: string | null, changes: Metadata = {}): Promise<undefined> {
    const own = this.messages.slice(this.history.inherited);
    this.#mark_stored(await this.#store.put(this.session.id, own, { ...this.#metadata, ...changes }, revision));
  }

  /** Writes everything, with the lineage that the application gives the session. */
  async #write_with_lineage(record: StoredSession | undefined, messages = this.messages): Promise<void> {
    const { session } = this;
    const plan = await this.#plan_lineage(messages, record?.metadata ?? {}, this.#lineage ?? {});
    const metadata = { ...this.#metadata, ...plan.metadata } as Metadata;
    const own = messages.slice(plan.inherited);
    const written = await this.#store.put(session.id, own, metadata, record?.revision ?? null);
    const holds_all = plan.parent && (await secure_fork(this.#store, session.id, plan.parent, messages));
    this.history.inherited = holds_all ? 0 : plan.inherited;
    this.#mark_stored({ ...written, is_certain: written.is_certain && !holds_all });
  }

  /**
   * Plans which messages the session inherits with this lineage.
   * @throws {SessionError} `lineage` if the session would descend from itself, and everything that `resolve` throws.
   */
  async #plan_lineage(
    messages: Messages,
    stored: MetadataPatch,
    given: MetadataPatch,
  ): Promise<{ inherited: number; metadata: MetadataPatch; parent?: StoredSession }> {
    const { id } = this.session;
    const point = fork_point_of(given, stored);
    const target = { ...stored, ...given, ...point, id } as SessionMetadata;
    const metadata: MetadataPatch = { ...given, ...point };
    const resolved = inherits(target) && target.parent_id !== id ? this.#store.resolve(target.parent_id) : undefined;
    const is_foreign = given.parent_id === undefined; // another program's record may name an invalid parent
    const parent = await (is_foreign ? resolved?.catch(ignore("invalid_id")) : resolved);
    if (target.parent_id === id || parent?.chain.some((record) => record.metadata.id === id)) {
      throw new SessionError("lineage", `session ${id} cannot descend from itself`, { session_id: id });
    }
    if (!inherits(target)) {
      return { inherited: 0, metadata };
    }
    if (!parent) {
      return { inherited: 0, metadata: { ...metadata, fork_message_count: 0 } }; // a later parent adds no messages
    }
    const { count, missing } = fork_point(target, parent.messages);
    const ours = this.#store.as_stored(messages);
    if (count === 0 || missing !== undefined || !begins_with(ours, parent.messages.slice(0, count))) {
      return { inherited: 0, metadata: { ...metadata, detached: true } };
    }
    const last_id = parent.messages[count - 1]?.id;
    return {
      inherited: count,
      metadata: { ...metadata, fork_message_count: count, ...(last_id !== undefined && { fork_message_id: last_id }) },
      parent: parent.record,
    };
  }

  /** Compares with the record and writes what is missing. Returns the divergence of another writer's history. */
  async #reconcile(): Promise<Divergence | undefined> {
    const { session, history, messages } = this;
    const record = await this.#store.load(session.id);
    if (!record) {
      if (session.stored) {
        if (!session.shared.may_be_gone) {
          return { common: undefined };
        }
        const { id: _id, message_count: _count, updated_at: _date, ...known } = session.metadata;
        this.#metadata = { ...known, ...this.#metadata } as Metadata;
        history.inherited = inherits(this.#metadata as SessionMetadata) ? history.inherited : 0;
      }
      await (this.#lineage ? this.#write_with_lineage(undefined) : this.#rewrite(null));
      return undefined;
    }
    const stored = await this.#compare(record);
    const is_parent_cut = inherits(record.metadata) && stored.inherited < history.inherited;
    history.inherited = Math.min(history.inherited, stored.inherited); // an earlier save may have materialized it
    if (stored.common === stored.messages.length || this.#is_ours(record)) {
      await this.#continue_or_replace(record, stored, is_parent_cut);
      return undefined;
    }
    if (stored.common < messages.length) {
      return { common: stored.common, record };
    }
    if (this.#lineage) {
      await this.#write_with_lineage(record, stored.messages);
    } else {
      await this.#store.update(session.id, this.#metadata);
      this.#mark_stored({ revision: undefined, is_certain: false });
    }
    session.mark_uncertain(); // the record holds more messages than we do
    return undefined;
  }

  /**
   * Continues a record that is the beginning of our history, or replaces one that we wrote ourselves. If the parent has
   * lost inherited messages, the session holds all messages itself from then on.
   */
  async #continue_or_replace(record: StoredSession, stored: Comparison, is_parent_cut: boolean): Promise<void> {
    const { history } = this;
    const { common, messages, inherited } = stored;
    const is_continued = common === messages.length;
    const protect_late_forks = is_continued
      ? undefined
      : await prepare_replacement(this.#store, this.session, { record, common }, this.#parts.options.on_replace);
    const holds_all = is_parent_cut || common < inherited;
    history.inherited = holds_all ? 0 : inherited;
    if (this.#lineage) {
      await this.#write_with_lineage(record);
    } else if (is_continued && !holds_all) {
      await this.#append(this.messages.slice(common), record.revision);
    } else {
      await this.#rewrite(record.revision ?? null, holds_all ? { detached: true } : {});
    }
    this.session.protect_late_forks = protect_late_forks;
  }

  /**
   * True if this conversation wrote the record, so that the conversation has changed since and no other writer has.
   * Without revisions, another writer is noticed only if our history has not changed.
   */
  #is_ours(record: StoredSession): boolean {
    const { stored } = this.session;
    return (
      stored?.history.conversation === this.history.conversation &&
      ((record.revision === undefined ? stored.history !== this.history : stored.revision === record.revision) ||
        stored.history.is_held_by(record, stored.count))
    );
  }

  /** Counts the common messages of our history and the stored one, inherited ones included. */
  async #compare(record: StoredSession): Promise<Comparison> {
    const { messages } = this;
    const { inherited, is_exact } = this.history;
    const { fork_message_count } = record.metadata;
    const inherits_as_known = inherits(record.metadata)
      ? inherited > 0 && (fork_message_count ?? inherited) === inherited
      : inherited === 0;
    if (inherits_as_known && (!is_exact || inherited === 0)) {
      const common = inherited + common_prefix(record.messages, this.#store.as_stored(messages.slice(inherited)));
      return { common, messages: [...messages.slice(0, inherited), ...record.messages], inherited };
    }
    const resolved = await this.#store.resolve(this.session.id);
    if (!resolved || resolved.record.revision !== record.revision) {
      throw changed_meanwhile(this.session.id);
    }
    const common = common_prefix(resolved.messages, this.#store.as_stored(messages));
    return { common, messages: resolved.messages, inherited: resolved.inherited };
  }

  /** Stores our history as a fork, which becomes the current session and inherits the common messages. */
  async #conflict({ common, record }: Divergence): Promise<ConflictEvent> {
    const { session, history, messages } = this;
    const { id } = session;
    const what = common === undefined ? "deleted" : "changed";
    const error = new SessionError("conflict", `session ${id} was ${what} by another writer`, { session_id: id });
    if (this.#on_conflict === "error") {
      throw error;
    }
    session.conflict_fork ??= { id: randomUUID(), date: new Date().toISOString() };
    const { date } = session.conflict_fork;
    const known = { ...session.metadata, ...this.#metadata };
    const metadata = { ...metadata_beside(known, { id, messages, common }), created_at: date, updated_at: date };
    const inherited = common ?? 0;
    const own = messages.slice(inherited);
    const created = await this.#store.create(session.conflict_fork.id, own, metadata as Metadata);
    session.conflict_fork.id = created.id;
    const holds_all = inherited > 0 && record && (await secure_fork(this.#store, created.id, record, messages));
    session.shared = this.#parts.family.shared_of(created.id);
    session.shared.known = { ...metadata, ...(holds_all && { detached: true }) };
    history.inherited = holds_all ? 0 : inherited;
    this.#mark_stored({ ...created, is_certain: created.is_certain && !holds_all });
    return { id, fork_id: created.id, error };
  }

  #mark_stored(written: Written): void {
    this.session.mark_stored(this.#version, this.#as_begun, this.#metadata, written);
  }
}

interface Comparison {
  /** The number of leading messages that both histories share, inherited ones included. */
  common: number;
  /** The stored history. */
  messages: Messages;
  inherited: number;
}

/** The point at which another writer's history differs from ours. */
interface Divergence {
  /** The number of messages that both histories share. `undefined`: the session was deleted. */
  common: number | undefined;
  record?: StoredSession;
}
