import { has_code, SessionError } from "../errors.js";
import { inherits } from "../lineage.js";
import type { MetadataPatch } from "../metadata.js";
import type { StoredSession } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import { store_as_fork } from "./conflict-fork.js";
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
  /** What the application says of the session with this save. */
  given?: MetadataPatch;
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
    const pending = capture.session.take_pending(capture.given);
    try {
      const detached = capture.timeline.detaches ? { detached: true } : {};
      return await this.#write(capture, { ...pending.metadata, ...detached });
    } catch (error) {
      pending.restore(error);
      throw error;
    }
  }

  async #write(capture: Capture, metadata: Metadata): Promise<ConflictEvent | undefined> {
    const { session, timeline, messages, exact } = capture;
    const { stored } = session;
    try {
      if (stored === undefined) {
        return await this.#rewrite(capture, null, metadata);
      }
      const continued = stored.timeline === timeline;
      if (!exact && continued && stored.revision !== undefined) {
        return await this.#extend(capture, stored.count, stored.revision, metadata);
      }
      if (!exact && continued && !this.#port.detects_conflicts) {
        const unchanged = stored.count === messages.length && Object.keys(metadata).length === 0;
        return unchanged ? undefined : await this.#rewrite(capture, null, metadata);
      }
    } catch (error) {
      if (!has_code(error, "conflict") && !(has_code(error, "not_found") && stored !== undefined)) {
        throw error;
      }
    }
    return this.#reconcile(capture, metadata);
  }

  /** What is stored are the first `from` messages: writes the rest. */
  async #extend(capture: Capture, from: number, revision: string, metadata: Metadata): Promise<undefined> {
    const extended = await this.#port.extend(capture.session.id, capture.messages.slice(from), metadata, revision);
    if (extended === "incapable") {
      return this.#rewrite(capture, revision, metadata);
    }
    settle(capture, extended.revision);
  }

  async #rewrite(capture: Capture, revision: string | null, metadata: Metadata): Promise<undefined> {
    const own = capture.messages.slice(capture.timeline.inherited);
    settle(capture, await this.#port.put(capture.session.id, own, metadata, revision));
  }

  /** Compares with what is stored, by value, and writes what is missing there; again where it moves meanwhile. */
  async #reconcile(capture: Capture, metadata: Metadata): Promise<ConflictEvent | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.#port.load(capture.session.id);
      let diverged: { common: number | undefined } | undefined;
      try {
        diverged = await this.#continue_from(record, capture, metadata);
      } catch (error) {
        const moved = has_code(error, "conflict") || has_code(error, "not_found");
        if (!moved || attempt === RECONCILE_ATTEMPTS) {
          throw error;
        }
        continue;
      }
      return diverged && (await this.#conflict(capture, metadata, diverged.common));
    }
  }

  /** Writes what is missing in a record. Returns how far both are the same, where another writer's history diverges. */
  async #continue_from(
    record: StoredSession | undefined,
    capture: Capture,
    metadata: Metadata,
  ): Promise<{ common: number | undefined } | undefined> {
    const { session, timeline, messages } = capture;
    if (record === undefined) {
      return session.stored === undefined ? this.#rewrite(capture, null, metadata) : { common: undefined };
    }
    const stored = await this.#compare(capture, record);
    timeline.inherited = Math.min(timeline.inherited, stored.inherited); // an earlier save may have made it whole
    if (stored.common < timeline.inherited && moved_by_us(session, record)) {
      timeline.inherited = 0; // the cut falls into what it inherited
      metadata = { ...metadata, detached: true };
    }
    if (stored.common === stored.length) {
      timeline.inherited = stored.inherited;
      return record.revision === undefined
        ? this.#rewrite(capture, null, metadata)
        : this.#extend(capture, stored.common, record.revision, metadata);
    }
    if (moved_by_us(session, record)) {
      await keep_replaced_history(this.#port, session, { record, common: stored.common }, this.#options.on_replace);
      return this.#rewrite(capture, record.revision ?? null, metadata);
    }
    if (stored.common === messages.length) {
      await this.#extend(capture, messages.length, record.revision ?? "", metadata);
      settle(capture, undefined); // more is stored than we know of: compare at the next write, too
      return undefined;
    }
    return { common: stored.common };
  }

  /** How far our history and the stored one are the same, with what both inherit. */
  async #compare(
    { session, timeline, messages, exact }: Capture,
    record: StoredSession,
  ): Promise<{ common: number; length: number; inherited: number }> {
    const { inherited } = timeline;
    const inherits_as_known = inherits(record.metadata) === inherited > 0;
    if (inherits_as_known && (!exact || inherited === 0)) {
      const common = inherited + common_prefix(record.messages, messages.slice(inherited));
      return { common, length: inherited + record.messages.length, inherited };
    }
    const resolved = await this.#port.resolve(session.id);
    const stored = resolved?.messages ?? record.messages;
    return { common: common_prefix(stored, messages), length: stored.length, inherited: resolved?.inherited ?? 0 };
  }

  async #conflict(capture: Capture, metadata: Metadata, common: number | undefined): Promise<ConflictEvent> {
    const { id } = capture.session;
    const what = common === undefined ? "deleted" : "changed";
    const error = new SessionError("conflict", `session ${id} was ${what} by another writer`, { session_id: id });
    if (this.#options.on_conflict === "error") {
      throw error;
    }
    const revision = await store_as_fork(this.#port, capture, metadata, common);
    settle(capture, revision);
    return { id, fork_id: capture.session.id, error };
  }
}

/** The stored messages are those that we wrote: what differs was changed in our conversation. */
function moved_by_us(session: ActiveSession, record: StoredSession): boolean {
  return record.revision === undefined || session.stored?.revision === record.revision;
}

function settle({ session, timeline, messages }: Capture, revision: string | undefined): void {
  session.stored = { timeline, count: messages.length, revision };
  session.replaced_id = undefined;
}
