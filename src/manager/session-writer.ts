import type { Message } from "@simulacra-ai/core";
import { has_capability } from "../capabilities.js";
import { has_code, SessionError, session_not_found } from "../errors.js";
import type { SessionMetadata, SessionStore, StoredSession } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import { common_prefix, type Messages, type Timeline } from "./timeline.js";

/** One state of a session, as it was when its save was asked for. */
export interface Capture {
  session: ActiveSession;
  timeline: Timeline;
  /** The conversation's messages, inherited ones included. */
  messages: Messages;
  /** Compare with what is stored by value: edits in place count. */
  exact: boolean;
}

type Metadata = Partial<SessionMetadata>;

const RECONCILE_ATTEMPTS = 8;

/** Brings the store to a captured state with the cheapest call that the store is capable of. */
export class SessionWriter {
  readonly #store: SessionStore;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  /** Writes a capture and the session's pending metadata. Where it throws, the session is as it was. */
  async write(capture: Capture): Promise<void> {
    const { session } = capture;
    const pending = session.take_pending();
    try {
      await this.#write(capture, pending.metadata);
    } catch (error) {
      pending.restore();
      throw error;
    }
  }

  async #write(capture: Capture, metadata: Metadata): Promise<void> {
    const { stored } = capture.session;
    if (stored === undefined) {
      return this.#create(capture, metadata);
    }
    const continued = stored.timeline === capture.timeline;
    if (!has_capability(this.#store, "append") && !has_capability(this.#store, "replace")) {
      const unchanged = continued && stored.count === capture.messages.length;
      return unchanged && !capture.exact && is_empty(metadata) ? undefined : this.#rewrite(capture, null, metadata);
    }
    if (capture.exact || !continued || stored.revision === undefined) {
      return this.#reconcile(capture, metadata);
    }
    try {
      await this.#extend(capture, stored.count, stored.revision, metadata);
    } catch (error) {
      if (!has_code(error, "conflict")) {
        throw error;
      }
      await this.#reconcile(capture, metadata);
    }
  }

  async #create(capture: Capture, metadata: Metadata): Promise<void> {
    try {
      await this.#rewrite(capture, null, metadata);
    } catch (error) {
      if (!has_code(error, "conflict")) {
        throw error;
      }
      await this.#reconcile(capture, metadata); // an earlier attempt was reported as failed and is there
    }
  }

  /** What is stored are the first `from` messages: writes the rest. */
  async #extend(capture: Capture, from: number, revision: string, metadata: Metadata): Promise<void> {
    const { id } = capture.session;
    const added = capture.messages.slice(from) as Message[];
    if (added.length === 0 && is_empty(metadata)) {
      settle(capture, revision);
    } else if (added.length === 0 && has_capability(this.#store, "update")) {
      if (!(await this.#store.update(id, metadata))) {
        throw session_not_found(id);
      }
      settle(capture, revision);
    } else if (has_capability(this.#store, "append")) {
      settle(capture, (await this.#store.append(id, added, { revision, metadata })).revision);
    } else {
      await this.#rewrite(capture, revision, metadata);
    }
  }

  /** Writes all messages, where the store can over this revision only (`null`: a new session). */
  async #rewrite(capture: Capture, revision: string | null, metadata: Metadata): Promise<void> {
    const { id } = capture.session;
    const own = own_messages(capture);
    if (has_capability(this.#store, "replace")) {
      settle(capture, (await this.#store.replace(id, own, { revision, metadata })).revision);
    } else {
      await this.#store.save(id, own, metadata);
      settle(capture, undefined);
    }
  }

  /** Compares with what is stored, by value, and writes what is missing there; again where it moves meanwhile. */
  async #reconcile(capture: Capture, metadata: Metadata): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.#store.load(capture.session.id);
      if (record === undefined) {
        throw session_not_found(capture.session.id);
      }
      const write = this.#difference(capture, record, metadata);
      try {
        return await write();
      } catch (error) {
        if (!has_code(error, "conflict") || attempt === RECONCILE_ATTEMPTS) {
          throw error;
        }
      }
    }
  }

  #difference(capture: Capture, record: StoredSession, metadata: Metadata): () => Promise<void> {
    const { session, timeline } = capture;
    const { revision } = record;
    if (revision === undefined) {
      return () => this.#rewrite(capture, null, metadata);
    }
    const own = own_messages(capture);
    const common = common_prefix(record.messages, own);
    if (common === record.messages.length) {
      return () => this.#extend(capture, timeline.inherited + common, revision, metadata);
    }
    if (moved_by_us(session, record)) {
      return () => this.#rewrite(capture, revision, metadata);
    }
    if (common === own.length) {
      return async () => {
        await this.#extend(capture, capture.messages.length, revision, metadata);
        settle(capture, undefined); // more is stored than we know of: compare at the next write, too
      };
    }
    throw new SessionError("conflict", `session ${session.id} was changed by another writer`, {
      session_id: session.id,
    });
  }
}

/** The stored messages are those that we wrote: what differs was changed in our conversation. */
function moved_by_us(session: ActiveSession, record: StoredSession): boolean {
  return session.stored?.revision !== undefined && session.stored.revision === record.revision;
}

function own_messages(capture: Capture): Message[] {
  return capture.messages.slice(capture.timeline.inherited);
}

function settle(capture: Capture, revision: string | undefined): void {
  capture.session.stored = { timeline: capture.timeline, count: capture.messages.length, revision };
}

function is_empty(metadata: Metadata): boolean {
  return Object.keys(metadata).length === 0;
}
