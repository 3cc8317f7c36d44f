import { has_code, SessionError } from "../errors.js";
import { inherits } from "../lineage.js";
import type { MetadataPatch } from "../metadata.js";
import type { StoredSession } from "../types.js";
import type { ActiveSession, Given } from "./active-session.js";
import { store_as_fork, type Divergence } from "./conflict-fork.js";
import { changed_meanwhile, secure_fork } from "./inheritance.js";
import { plan_lineage } from "./lineage-plan.js";
import { keep_replaced_history } from "./replaced-history.js";
import type { Metadata, StorePort } from "./store-port.js";
import { common_prefix, type Messages, type Timeline } from "./timeline.js";
import type { ConflictEvent, SessionManagerOptions } from "./types.js";

/** One state of a session, as it was when its save was asked for. */
export interface Capture {
  session: ActiveSession;
  timeline: Timeline;
  /** The conversation's messages, inherited ones included. */
  messages: Messages;
  /** Compare with what is stored by value: edits in place count. */
  exact: boolean;
  /** How many notes the session had then: later ones go with a later capture. */
  noted: number;
  /** What the application says of the session with this save. */
  given?: Given | undefined;
}

/** A capture on its way to the store. */
interface Task extends Capture {
  metadata: Metadata;
  /** The parent that the application gives the session, if it does. */
  lineage: MetadataPatch | undefined;
}

/** How far a stored history and ours are the same, with what both inherit. */
interface Comparison {
  common: number;
  /** The stored history. */
  messages: Messages;
  inherited: number;
}

export type WriterOptions = Required<Pick<SessionManagerOptions, "on_conflict" | "on_replace">>;

const RECONCILE_ATTEMPTS = 8;

/** Brings the store to a captured state with the cheapest call that the store is capable of. */
export class SessionWriter {
  readonly #port: StorePort;
  readonly #options: WriterOptions;

  constructor(port: StorePort, options: WriterOptions) {
    this.#port = port;
    this.#options = options;
  }

  /**
   * Writes a capture and the session's pending metadata. Where it throws, the session is as it was. Returns what
   * happened, if another writer's history stands in the way and ours was stored beside it.
   */
  async write(capture: Capture): Promise<ConflictEvent | undefined> {
    const pending = capture.session.take_pending(capture);
    const { metadata, lineage } = pending;
    try {
      return await this.#write({ ...capture, metadata, lineage });
    } catch (error) {
      pending.restore(error);
      throw error;
    }
  }

  async #write(task: Task): Promise<ConflictEvent | undefined> {
    const { session, timeline, messages, metadata } = task;
    const { stored } = session;
    const compares = task.exact || task.lineage !== undefined;
    try {
      if (stored === undefined && task.lineage === undefined) {
        return await this.#rewrite(task, null);
      }
      const continued = stored?.timeline === timeline && !compares ? stored : undefined;
      if (continued?.revision !== undefined) {
        return await this.#extend(task, continued.count, continued.revision);
      }
      if (continued !== undefined && !this.#port.detects_conflicts) {
        const unchanged = continued.count === messages.length && Object.keys(metadata).length === 0;
        return unchanged ? undefined : await this.#rewrite(task, null);
      }
    } catch (error) {
      if (!has_code(error, "conflict") && !(has_code(error, "not_found") && stored !== undefined)) {
        throw error;
      }
    }
    return this.#reconcile(task);
  }

  /** What is stored are the first `from` messages: writes the rest. */
  async #extend(task: Task, from: number, revision: string): Promise<undefined> {
    const extended = await this.#port.extend(task.session.id, task.messages.slice(from), task.metadata, revision);
    if (extended === "incapable") {
      return this.#rewrite(task, revision);
    }
    settle(task, extended.revision);
  }

  async #rewrite(task: Task, revision: string | null): Promise<undefined> {
    const own = task.messages.slice(task.timeline.inherited);
    settle(task, await this.#port.put(task.session.id, own, task.metadata, revision));
  }

  /** Writes everything, below the parent that the application gives the session. */
  async #relate(task: Task, lineage: MetadataPatch, record: StoredSession | undefined, messages = task.messages) {
    const { session, timeline } = task;
    const { id } = session;
    const plan = await plan_lineage(this.#port, { id, messages, stored: record?.metadata }, lineage);
    const metadata = { ...task.metadata, ...plan.metadata };
    const own = messages.slice(plan.inherited);
    const revision = await this.#port.put(id, own, metadata, record?.revision ?? null);
    timeline.inherited = plan.inherited;
    settle(task, revision);
    const whole = plan.parent && (await secure_fork(this.#port, id, plan.parent, messages));
    if (whole !== undefined) {
      timeline.inherited = 0;
      session.make_self_contained(whole.revision);
    }
  }

  /** Compares with what is stored, by value, and writes what is missing there; again where it moves meanwhile. */
  async #reconcile(task: Task): Promise<ConflictEvent | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.#port.load(task.session.id);
      let diverged: Divergence | undefined;
      try {
        diverged = await this.#continue_from(record, task);
      } catch (error) {
        const moved = has_code(error, "conflict") || has_code(error, "not_found");
        if (!moved || attempt === RECONCILE_ATTEMPTS) {
          throw error;
        }
        continue;
      }
      return diverged && (await this.#conflict(task, diverged));
    }
  }

  /** Writes what is missing in a record; tells where another writer's history diverges from ours. */
  async #continue_from(record: StoredSession | undefined, task: Task): Promise<Divergence | undefined> {
    const { session, timeline, messages, lineage } = task;
    if (record === undefined) {
      if (session.stored !== undefined) {
        return { common: undefined };
      }
      await (lineage ? this.#relate(task, lineage, undefined) : this.#rewrite(task, null));
      return undefined;
    }
    const stored = await this.#compare(task, record);
    timeline.inherited = Math.min(timeline.inherited, stored.inherited); // an earlier save may have made it whole
    if (stored.common === stored.messages.length || moved_by_us(session, record)) {
      await this.#succeed(task, record, stored);
      return undefined;
    }
    if (stored.common === messages.length) {
      await (lineage
        ? this.#relate(task, lineage, record, stored.messages)
        : this.#extend(task, messages.length, record.revision ?? ""));
      settle(task, undefined); // more is stored than we know of: compare at the next write, too
      return undefined;
    }
    return { common: stored.common, record };
  }

  /** Writes our history over a record that is its beginning, or that we wrote ourselves. */
  async #succeed(task: Task, record: StoredSession, { common, messages, inherited }: Comparison): Promise<void> {
    const { session, timeline, lineage } = task;
    const is_continued = common === messages.length;
    const keep_late_forks = is_continued
      ? undefined
      : await keep_replaced_history(this.#port, session, { record, common }, this.#options.on_replace);
    if (lineage !== undefined) {
      await this.#relate(task, lineage, record);
    } else if (is_continued && record.revision !== undefined) {
      timeline.inherited = inherited;
      await this.#extend(task, common, record.revision);
    } else {
      const cuts_inherited = common < inherited;
      timeline.inherited = cuts_inherited ? 0 : inherited;
      const metadata = { ...task.metadata, ...(cuts_inherited && { detached: true }) };
      await this.#rewrite({ ...task, metadata }, record.revision ?? null);
    }
    await keep_late_forks?.();
  }

  /** How far our history and the stored one are the same, with what both inherit. */
  async #compare({ session, timeline, messages, exact }: Task, record: StoredSession): Promise<Comparison> {
    const { inherited } = timeline;
    const { fork_message_count } = record.metadata;
    const inherits_as_known = inherits(record.metadata)
      ? inherited > 0 && (fork_message_count ?? inherited) === inherited
      : inherited === 0;
    if (inherits_as_known && (!exact || inherited === 0)) {
      const common = inherited + common_prefix(record.messages, this.#port.as_stored(messages.slice(inherited)));
      return { common, messages: [...messages.slice(0, inherited), ...record.messages], inherited };
    }
    const resolved = await this.#port.resolve(session.id);
    if (resolved === undefined || resolved.record.revision !== record.revision) {
      throw changed_meanwhile(session.id);
    }
    const common = common_prefix(resolved.messages, this.#port.as_stored(messages));
    return { common, messages: resolved.messages, inherited: resolved.inherited };
  }

  async #conflict(task: Task, divergence: Divergence): Promise<ConflictEvent> {
    const { id } = task.session;
    const what = divergence.common === undefined ? "deleted" : "changed";
    const error = new SessionError("conflict", `session ${id} was ${what} by another writer`, { session_id: id });
    if (this.#options.on_conflict === "error") {
      throw error;
    }
    const revision = await store_as_fork(this.#port, task, task.metadata, divergence);
    settle(task, revision);
    return { id, fork_id: task.session.id, error };
  }
}

/** The stored messages are those that we wrote: what differs was changed in our conversation. */
function moved_by_us(session: ActiveSession, record: StoredSession): boolean {
  return record.revision === undefined || session.stored?.revision === record.revision;
}

function settle({ session, timeline, messages }: Capture, revision: string | undefined): void {
  session.stored = { timeline, count: messages.length, revision };
  session.replaced = undefined;
  session.beside_id = undefined;
}
