import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { as_stored, has_capability } from "../capabilities.js";
import { until_settled } from "../async/retry.js";
import { has_code, SessionError, session_not_found } from "../errors.js";
import { inherits, LINEAGE_KEYS, resolve_session, same_lineage, type ResolvedSession } from "../lineage.js";
import { published } from "../tracing.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionStore, StoredSession } from "../types.js";
import { begins_with, type Messages } from "../messages.js";

export type Metadata = Partial<SessionMetadata>;

/** The outcome of a write. */
export interface Written {
  /** The new revision, where the store tells it. */
  revision: string | undefined;
  /** True where another write since would be noticed, or nothing notices any. */
  is_certain: boolean;
}

/** The state of a record that was read. Without a revision, it may be another one at the next write. */
export function stored_at({ revision }: StoredSession): Written {
  return { revision, is_certain: revision !== undefined };
}

function without_lineage(metadata: Metadata): Metadata {
  const lineage = new Set<string>(LINEAGE_KEYS);
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !lineage.has(key)));
}

/** A store as the manager uses it: each step by the cheapest method that the store is capable of. */
export class StoreAccess {
  readonly store: SessionStore;
  readonly #given: SessionStore;
  readonly #report: (error: SessionError) => void;

  /** `report` is called for entries of a list that are no sessions. */
  constructor(store: SessionStore, report: (error: SessionError) => void) {
    this.#given = store;
    this.#report = report;
    this.store = published(store);
  }

  /** The store as the application gave it. */
  get given(): SessionStore {
    return this.#given;
  }

  /** Returns the messages as the store would give them back, for comparisons with stored messages. */
  as_stored(messages: Messages): Messages {
    return as_stored(this.#given, { messages: messages as Message[] }).messages;
  }

  /** Returns the draft as the store would give it back. */
  draft_as_stored(draft: SessionDraft): SessionDraft {
    return as_stored(this.#given, { draft }).draft;
  }

  /** True when the store notices another writer of a session. */
  get detects_conflicts(): boolean {
    return has_capability(this.store, "append") || has_capability(this.store, "replace");
  }

  /**
   * Lists sessions. Entries that are no sessions are left out and reported.
   * @throws {SessionError} `storage` where the store returns no array.
   */
  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const entries: unknown = await this.store.list(query);
    if (!Array.isArray(entries)) {
      throw new SessionError("storage", "list() of the store did not return an array");
    }
    const sessions = entries.filter((entry) => typeof (entry as { id?: unknown } | null)?.id === "string");
    if (sessions.length < entries.length) {
      const count = entries.length - sessions.length;
      this.#report(new SessionError("corrupt", `list() of the store returned ${count} entries without an id`));
    }
    return sessions as SessionMetadata[];
  }

  /** @throws {SessionError} `storage` where the store returns no session, and everything that the store throws. */
  async load(id: string): Promise<StoredSession | undefined> {
    const record: unknown = await this.store.load(id);
    const { metadata, messages } = (record ?? {}) as { metadata?: unknown; messages?: unknown };
    if (record !== undefined && record !== null && !(typeof metadata === "object" && Array.isArray(messages))) {
      throw new SessionError("storage", `load() of the store did not return a session: ${id}`, { session_id: id });
    }
    return (record as StoredSession | null) ?? undefined;
  }

  /**
   * Loads a session with everything that it inherits. Where something is missing, it reads once more, since the parents
   * may have been moved meanwhile.
   */
  async resolve(id: string, options: { cut_cycles?: boolean } = {}): Promise<ResolvedSession | undefined> {
    const load = (of: string) => this.load(of);
    const resolved = await resolve_session(id, load, options);
    return resolved === undefined || resolved.missing.length === 0 ? resolved : resolve_session(id, load, options);
  }

  /** @throws {SessionError} `not_found`, and everything that `resolve` throws. */
  async require_resolved(id: string): Promise<ResolvedSession> {
    const resolved = await this.resolve(id);
    if (resolved === undefined) {
      throw session_not_found(id);
    }
    return resolved;
  }

  /** Resolves a session, or returns `"damaged"` where the session or a parent is damaged. */
  async resolve_readable(id: string): Promise<ResolvedSession | "damaged" | undefined> {
    try {
      return await this.resolve(id, { cut_cycles: true });
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      return "damaged";
    }
  }

  /** Returns as much of a session's history as can be read. */
  async readable_history(id: string): Promise<Message[]> {
    const resolved = await this.resolve_readable(id);
    return resolved === undefined || resolved === "damaged" ? [] : resolved.messages;
  }

  /**
   * Writes all messages of a session. A store that can, writes only over this revision (`null`: only a new session).
   */
  async put(id: string, messages: Messages, metadata: Metadata, revision: string | null): Promise<Written> {
    if (has_capability(this.store, "replace")) {
      const replaced = await this.store.replace(id, messages as Message[], { revision, metadata });
      return { revision: replaced.revision, is_certain: true };
    }
    await this.store.save(id, messages as Message[], metadata);
    return { revision: undefined, is_certain: !this.detects_conflicts };
  }

  /**
   * Writes a new session under an id that nobody else knew, unless an earlier attempt (`tried`) has written it and its
   * answer was lost. Where somebody has gone on in that one, it stays. Returns the id that was used.
   */
  async create(id: string, messages: Messages, metadata: Metadata, tried = false): Promise<Written & { id: string }> {
    let there = tried ? await this.load(id) : undefined;
    if (there === undefined) {
      try {
        return { id, ...(await this.put(id, messages, metadata, null)) };
      } catch (error) {
        if (has_code(error, "invalid_id") && metadata.parent_id !== undefined) {
          return this.create(id, messages, without_lineage(metadata)); // a foreign record named what can be no parent
        }
        there = has_code(error, "conflict") ? await this.load(id) : undefined;
        if (there === undefined) {
          throw error;
        }
      }
    }
    const ours = this.as_stored(messages);
    const is_same_line = same_lineage(there.metadata, metadata);
    if (is_same_line && begins_with(there.messages, ours)) {
      return { id, revision: there.revision, is_certain: false };
    }
    if (is_same_line && begins_with(ours, there.messages)) {
      return { id, ...(await this.put(id, messages, metadata, there.revision ?? null)) };
    }
    return this.create(randomUUID(), messages, metadata);
  }

  /**
   * Adds messages and metadata to what is stored at a revision. Returns `undefined` where the store cannot append.
   */
  async extend(
    id: string,
    added: Messages,
    metadata: Metadata,
    revision: string | undefined,
  ): Promise<Written | undefined> {
    if (added.length === 0 && Object.keys(metadata).length === 0) {
      return { revision, is_certain: true };
    }
    if (added.length === 0 && has_capability(this.store, "update")) {
      await this.update(id, metadata);
      return { revision, is_certain: true };
    }
    if (revision === undefined || !has_capability(this.store, "append")) {
      return undefined;
    }
    const appended = await this.store.append(id, added as Message[], { revision, metadata });
    return { revision: appended.revision, is_certain: true };
  }

  /**
   * Merges metadata alone into a stored session. A store without `update` writes the session anew.
   * @throws {SessionError} `not_found`.
   */
  async update(id: string, metadata: Metadata): Promise<void> {
    const merge = async () => {
      const record = await this.load(id);
      await (record && this.put(id, record.messages, metadata, record.revision ?? null));
      return record !== undefined;
    };
    const is_there = has_capability(this.store, "update")
      ? await this.store.update(id, metadata)
      : await until_settled(id, merge);
    if (!is_there) {
      throw session_not_found(id);
    }
  }

  async flush(id: string): Promise<void> {
    if (has_capability(this.store, "flush")) {
      await this.store.flush(id);
    }
  }

  /** Returns the sessions that inherit from this one. */
  async forks_of(id: string): Promise<SessionMetadata[]> {
    return (await this.list({ parent_id: id })).filter((entry) => entry.parent_id === id && inherits(entry));
  }

  /** Returns sessions and all that descend from them, the deepest first. A cycle is visited once. */
  async with_descendants(ids: readonly string[]): Promise<string[]> {
    const children = new Map<string, string[]>();
    for (const { id: child, parent_id } of await this.list()) {
      if (parent_id !== undefined) {
        const siblings = children.get(parent_id);
        if (siblings === undefined) {
          children.set(parent_id, [child]);
        } else {
          siblings.push(child);
        }
      }
    }
    const found = new Set(ids);
    for (const ancestor of found) {
      children.get(ancestor)?.forEach((child) => found.add(child));
    }
    return [...found].reverse();
  }
}
