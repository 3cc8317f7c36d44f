import { randomUUID } from "node:crypto";
import { changed_meanwhile, has_code, SessionError } from "../errors.js";
import { metadata_beside } from "../fork-rules.js";
import { inherits } from "../lineage.js";
import { common_prefix, type Messages } from "../messages.js";
import type { StoredSession } from "../types.js";
import { keep_replaced_history, secure_fork } from "./fork-protection.js";
import type { History } from "./history.js";
import { plan_lineage } from "./lineage-plan.js";
import type { SessionState, StoredState, Version } from "./session-state.js";
import type { Metadata, StoreAccess, Written } from "./store-access.js";
import type { ConflictEvent, SessionManagerOptions } from "./types.js";

export type SavePolicies = Required<Pick<SessionManagerOptions, "on_conflict" | "on_replace">>;

/** The outcome of one write. */
export interface Saved {
  /** Reads the messages that are stored, inherited ones included. */
  read: () => Messages;
  conflict: ConflictEvent | undefined;
  /** Why forks that were made meanwhile could not be protected, though the session is stored. */
  unprotected?: unknown;
}

const RECONCILE_ATTEMPTS = 8;

/**
 * One write: brings what is stored of a session up to the oldest version that is wanted.
 *
 * Hazard: a write that reports a failure may have taken effect, and other writers exist. So the next step is computed
 * from the two states when the write runs. It appends where the stored messages are known to be the beginning of the
 * wanted ones. Otherwise it reads the record, compares by value, and appends, replaces, or stores ours beside it.
 */
export class SaveTask {
  readonly state: SessionState;
  readonly history: History;
  readonly count: number;
  readonly #store: StoreAccess;
  readonly #state_of: (id: string) => StoredState;
  readonly #policies: SavePolicies;
  readonly #version: Version;
  readonly #as_begun: Version;
  readonly #metadata: Metadata;
  readonly #read: (from: number, to: number) => Messages;
  #messages: Messages | undefined;
  #unprotected: unknown;

  constructor(
    store: StoreAccess,
    state_of: (id: string) => StoredState,
    policies: SavePolicies,
    state: SessionState,
    version: Version,
  ) {
    this.#store = store;
    this.#state_of = state_of;
    this.#policies = policies;
    this.state = state;
    this.#version = version;
    this.#as_begun = { ...version };
    this.history = version.history;
    this.count = version.count;
    this.#metadata = state.take(version);
    const { stored } = state;
    this.#read = this.history.reader(stored?.history === this.history ? stored.count : 0);
  }

  /** All messages of the version that can be stored, inherited ones included. */
  get messages(): Messages {
    return (this.#messages ??= this.#read(0, this.count));
  }

  /** Runs the write. Where it throws, the session wants the same as before. */
  async run(): Promise<Saved> {
    try {
      const conflict = await this.#write();
      return { conflict, read: () => this.messages, unprotected: this.#unprotected };
    } catch (error) {
      this.state.drop_refused(this.#version, error);
      this.state.doubt(); // the write may have taken effect
      throw error;
    }
  }

  async #write(): Promise<ConflictEvent | undefined> {
    const { state, history } = this;
    const { stored } = state;
    const lineage = this.#as_begun.given?.lineage;
    try {
      if (stored === undefined && lineage === undefined) {
        return await this.#rewrite(null);
      }
      if (stored?.history === history && stored.is_certain && lineage === undefined) {
        return await this.#append(this.#read(stored.count, this.count), stored.revision);
      }
    } catch (error) {
      const is_moved = has_code(error, "conflict") || (has_code(error, "not_found") && stored !== undefined);
      if (!is_moved) {
        throw error;
      }
    }
    return this.#reconcile();
  }

  /** Appends messages to the ones that are stored at a revision. */
  async #append(added: Messages, revision: string | undefined): Promise<undefined> {
    const extended = await this.#store.extend(this.state.id, added, this.#metadata, revision);
    if (extended === undefined) {
      return this.#rewrite(revision ?? null);
    }
    this.#settle(extended);
  }

  /** Writes the metadata alone. */
  async #update(): Promise<void> {
    const metadata = this.#metadata;
    if (Object.keys(metadata).length > 0) {
      await this.#store.update(this.state.id, metadata);
    }
    this.#settle({ revision: undefined, is_certain: false }); // more is stored than we hold
  }

  async #rewrite(revision: string | null, metadata = this.#metadata): Promise<undefined> {
    const own = this.messages.slice(this.history.inherited);
    this.#settle(await this.#store.put(this.state.id, own, metadata, revision));
  }

  /** Writes everything, below the parent that the application gives the session. */
  async #relate(record: StoredSession | undefined, messages = this.messages): Promise<void> {
    const { state, history } = this;
    const { id } = state;
    const lineage = this.#as_begun.given?.lineage ?? {};
    const plan = await plan_lineage(this.#store, { id, messages, stored: record?.metadata }, lineage);
    const metadata = { ...this.#metadata, ...plan.metadata };
    const written = await this.#store.put(id, messages.slice(plan.inherited), metadata, record?.revision ?? null);
    const whole = plan.parent && (await secure_fork(this.#store, id, plan.parent, messages));
    history.inherited = plan.inherited;
    this.#settle(written);
    if (whole !== undefined) {
      state.make_self_contained(whole.revision);
    }
  }

  /** Compares with the record, by value, and writes what is missing there. Starts again where the record moves. */
  async #reconcile(): Promise<ConflictEvent | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.#store.load(this.state.id);
      let diverged: Divergence | undefined;
      try {
        diverged = await this.#continue_from(record);
      } catch (error) {
        const moved = has_code(error, "conflict") || has_code(error, "not_found");
        if (!moved || attempt === RECONCILE_ATTEMPTS) {
          throw error;
        }
        continue;
      }
      return diverged && (await this.#conflict(diverged));
    }
  }

  /** Writes what is missing in a record. Returns where another writer's history diverges from ours. */
  async #continue_from(record: StoredSession | undefined): Promise<Divergence | undefined> {
    const { state, history, messages } = this;
    const has_lineage = this.#as_begun.given?.lineage !== undefined;
    if (record === undefined) {
      if (state.stored === undefined) {
        await (has_lineage ? this.#relate(undefined) : this.#rewrite(null));
        return undefined;
      }
      if (!state.shared.may_be_gone) {
        return { common: undefined };
      }
      const { id: _id, message_count: _count, updated_at: _date, ...known } = state.metadata;
      await this.#rewrite(null, { ...known, ...this.#metadata } as Metadata);
      return undefined;
    }
    const stored = await this.#compare(record);
    history.inherited = Math.min(history.inherited, stored.inherited); // an earlier save may have made it whole
    if (stored.common === stored.messages.length || this.#is_ours(record)) {
      await this.#succeed(record, stored);
      return undefined;
    }
    if (stored.common === messages.length) {
      await (has_lineage ? this.#relate(record, stored.messages) : this.#update());
      state.doubt();
      return undefined;
    }
    return { common: stored.common, record };
  }

  /** Writes our history over a record that is its beginning, or that we wrote ourselves. */
  async #succeed(record: StoredSession, { common, messages, inherited }: Comparison): Promise<void> {
    const { history } = this;
    const is_continued = common === messages.length;
    const keep_late_forks = is_continued
      ? undefined
      : await keep_replaced_history(this.#store, this.state, { record, common }, this.#policies.on_replace);
    if (this.#as_begun.given?.lineage !== undefined) {
      await this.#relate(record);
    } else if (is_continued) {
      history.inherited = inherited;
      await this.#append(this.messages.slice(common), record.revision);
    } else {
      const cuts_inherited = common < inherited;
      history.inherited = cuts_inherited ? 0 : inherited;
      await this.#rewrite(record.revision ?? null, {
        ...this.#metadata,
        ...(cuts_inherited && { detached: true }),
      });
    }
    await keep_late_forks?.().catch((error: unknown) => (this.#unprotected = error));
  }

  /**
   * True where the record is what this conversation wrote, so that the difference was made in the conversation. Without
   * revisions, another writer is noticed only where our history has not changed.
   */
  #is_ours(record: StoredSession): boolean {
    const { stored } = this.state;
    return (
      stored?.history.conversation === this.history.conversation &&
      ((record.revision === undefined ? stored.history !== this.history : stored.revision === record.revision) ||
        stored.history.is_held_by(record, stored.count))
    );
  }

  /** Returns how far our history and the stored one are the same, with what both inherit. */
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
    const resolved = await this.#store.resolve(this.state.id);
    if (resolved === undefined || resolved.record.revision !== record.revision) {
      throw changed_meanwhile(this.state.id);
    }
    const common = common_prefix(resolved.messages, this.#store.as_stored(messages));
    return { common, messages: resolved.messages, inherited: resolved.inherited };
  }

  async #conflict(divergence: Divergence): Promise<ConflictEvent> {
    const { id } = this.state;
    const what = divergence.common === undefined ? "deleted" : "changed";
    const error = new SessionError("conflict", `session ${id} was ${what} by another writer`, { session_id: id });
    if (this.#policies.on_conflict === "error") {
      throw error;
    }
    this.#settle(await this.#store_beside(divergence));
    return { id, fork_id: this.state.id, error };
  }

  /**
   * Stores our history beside another writer's: as a fork from the last common message, whole where there is none, or
   * under a new id where the session is gone. The session goes on there.
   */
  async #store_beside({ common, record }: Divergence): Promise<Written> {
    const { state, history, messages } = this;
    const tried = state.beside_id !== undefined;
    state.beside_id ??= randomUUID();
    const metadata = metadata_beside({ ...state.metadata, ...this.#metadata }, { id: state.id, messages, common });
    const inherited = common ?? 0;
    const own = messages.slice(inherited);
    const created = await this.#store.create(state.beside_id, own, metadata as Metadata, tried);
    state.beside_id = created.id;
    const whole = inherited > 0 && record ? await secure_fork(this.#store, created.id, record, messages) : undefined;
    state.move_to(this.#state_of(created.id), metadata);
    history.inherited = whole ? 0 : inherited;
    return whole ?? created;
  }

  #settle(written: Written): void {
    this.state.settle(this.#version, this.#as_begun, this.#metadata, written);
  }
}

/** How far a stored history and ours are the same, with what both inherit. */
interface Comparison {
  common: number;
  /** The stored history. */
  messages: Messages;
  inherited: number;
}

/** Another writer's history where it differs from ours. */
interface Divergence {
  /** The number of messages that both have in common. `undefined`: the session is gone. */
  common: number | undefined;
  record?: StoredSession;
}
