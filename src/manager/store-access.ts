import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { as_stored, has_capability } from "../capabilities.js";
import { until_settled } from "../async/retry.js";
import { has_code, SessionError, session_not_found } from "../errors.js";
import { inherits, is_lineage, resolve_session, same_lineage, type ResolvedSession } from "../lineage.js";
import { traced } from "../tracing.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionStore, StoredSession } from "../types.js";
import { begins_with, type Messages } from "../messages.js";
import type { ManagerEvents } from "./events.js";

export type Metadata = Partial<SessionMetadata>;

/** The outcome of a write. */
export interface Written {
  /** The newest revision that is known to be ours. `undefined` if the store has no revisions. */
  revision: string | undefined;
  /** False if the next write must read the record first. True if another write would conflict or stay undetected. */
  is_certain: boolean;
}

/** Describes a record that was read. Without a revision, a change before the next write goes unnoticed. */
export function stored_at({ revision }: StoredSession): Written {
  return { revision, is_certain: revision !== undefined };
}

function without_lineage(metadata: Metadata): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !is_lineage(key)));
}

/** Calls the store: for each step the cheapest method that the store has. */
export class StoreAccess {
  /** The store without tracing. */
  readonly given: SessionStore;
  /** Called for each fork that was materialized. The manager may be saving the same session. */
  readonly note_materialized: (id: string) => void;
  readonly #store: SessionStore;
  readonly #events: ManagerEvents;

  constructor(given: SessionStore, events: ManagerEvents, note_materialized: (id: string) => void) {
    this.given = given;
    this.note_materialized = note_materialized;
    this.#store = traced(given);
    this.#events = events;
  }

  /** Returns the messages in the form in which the store returns messages, for comparisons. */
  as_stored(messages: Messages): Messages {
    return as_stored(this.given, { messages: messages as Message[] }).messages;
  }

  /**
   * Lists sessions. Reports entries that are no sessions.
   * @throws {SessionError} `storage` if the store returns no array.
   */
  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const entries: unknown = await this.#store.list(query);
    if (!Array.isArray(entries)) {
      throw new SessionError("storage", "list() of the store did not return an array");
    }
    const sessions = entries.filter((entry) => typeof (entry as { id?: unknown } | null)?.id === "string");
    const count = entries.length - sessions.length;
    if (count > 0) {
      const message = `list() of the store returned ${count} entries without an id`;
      this.#events.emit_error(new SessionError("corrupt", message), "list");
    }
    return sessions as SessionMetadata[];
  }

  /** @throws {SessionError} `storage` if the store returns no session, and everything that the store throws. */
  async load(id: string): Promise<StoredSession | undefined> {
    const record = (await this.#store.load(id)) ?? undefined; // another program's store may return null
    if (record && !(typeof record.metadata === "object" && Array.isArray(record.messages))) {
      throw new SessionError("storage", `load() of the store did not return a session: ${id}`, { session_id: id });
    }
    return record;
  }

  /**
   * Loads a session with everything that the session inherits. If messages are missing, reads once more, because the
   * parents may have changed meanwhile.
   */
  async resolve(id: string, options: { cut_cycles?: boolean } = {}): Promise<ResolvedSession | undefined> {
    const resolve = () => resolve_session(id, (of) => this.load(of), options);
    const resolved = await resolve();
    return !resolved || resolved.missing.length === 0 ? resolved : resolve();
  }

  /** @throws {SessionError} `not_found`, and everything that `resolve` throws. */
  async require_resolved(id: string): Promise<ResolvedSession> {
    const resolved = await this.resolve(id);
    if (!resolved) {
      throw session_not_found(id);
    }
    return resolved;
  }

  /** Writes all messages of a session. With `replace`, only over this revision (`null`: only a new session). */
  async put(id: string, messages: Messages, metadata: Metadata, revision: string | null): Promise<Written> {
    if (has_capability(this.#store, "replace")) {
      const replaced = await this.#store.replace(id, messages as Message[], { revision, metadata });
      return { revision: replaced.revision, is_certain: true };
    }
    await this.#store.save(id, messages as Message[], metadata);
    return { revision: undefined, is_certain: !has_capability(this.#store, "append") };
  }

  /**
   * Writes a new session under an id that no other writer knows, unless an earlier attempt whose answer was lost has
   * written the session. A session that another writer has extended or cut stays. Returns the id of the session.
   */
  async create(id: string, messages: Messages, metadata: Metadata): Promise<Written & { id: string }> {
    const there = await this.load(id);
    if (!there) {
      try {
        return { id, ...(await this.put(id, messages, metadata, null)) };
      } catch (error) {
        if (has_code(error, "invalid_id") && metadata.parent_id !== undefined) {
          return this.create(id, messages, without_lineage(metadata)); // another program named an invalid parent
        }
        throw error;
      }
    }
    const ours = this.as_stored(messages);
    if (same_lineage(there.metadata, metadata)) {
      if (begins_with(there.messages, ours)) {
        return { id, revision: there.revision, is_certain: false };
      }
      const is_as_written = (metadata.updated_at ?? there.metadata.updated_at) === there.metadata.updated_at;
      if (begins_with(ours, there.messages) && is_as_written) {
        return { id, ...(await this.put(id, messages, metadata, there.revision ?? null)) };
      }
    }
    return this.create(randomUUID(), messages, metadata);
  }

  /** Adds messages and metadata to the record at a revision. Returns `undefined` if the store cannot append. */
  async extend(
    id: string,
    added: Messages,
    metadata: Metadata,
    revision: string | undefined,
  ): Promise<Written | undefined> {
    if (added.length === 0 && (has_capability(this.#store, "update") || Object.keys(metadata).length === 0)) {
      await this.update(id, metadata);
      return { revision, is_certain: true };
    }
    if (revision === undefined || !has_capability(this.#store, "append")) {
      return undefined;
    }
    const appended = await this.#store.append(id, added as Message[], { revision, metadata });
    return { revision: appended.revision, is_certain: true };
  }

  /**
   * Merges metadata into a stored session. A store without `update` writes the session anew.
   * @throws {SessionError} `not_found`.
   */
  async update(id: string, metadata: Metadata): Promise<void> {
    if (Object.keys(metadata).length === 0) {
      return;
    }
    const merge = async () => {
      const record = await this.load(id);
      await (record && this.put(id, record.messages, metadata, record.revision ?? null));
      return record !== undefined;
    };
    const is_there = has_capability(this.#store, "update")
      ? await this.#store.update(id, metadata)
      : await until_settled(id, merge);
    if (!is_there) {
      throw session_not_found(id);
    }
  }

  async delete(id: string): Promise<boolean> {
    return this.#store.delete(id);
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    if (has_capability(this.#store, "set_draft")) {
      await this.#store.set_draft(id, draft);
    }
  }

  async flush(id: string): Promise<void> {
    if (has_capability(this.#store, "flush")) {
      await this.#store.flush(id);
    }
  }

  /** Lists the sessions that inherit from a session. */
  async forks_of(id: string): Promise<SessionMetadata[]> {
    const entries = await this.list({ parent_id: id });
    return entries.filter((entry) => entry.parent_id === id && entry.id !== id && inherits(entry));
  }

  /** Lists sessions and their descendants, the deepest first. A cycle is visited once. */
  async with_descendants(ids: readonly string[]): Promise<string[]> {
    const children = new Map<string | undefined, string[]>();
    for (const { id: child, parent_id } of await this.list()) {
      const siblings = children.get(parent_id) ?? [];
      siblings.push(child);
      children.set(parent_id, siblings);
    }
    const found = new Set(ids);
    for (const ancestor of found) {
      children.get(ancestor)?.forEach((child) => found.add(child));
    }
    return [...found].reverse();
  }
}
