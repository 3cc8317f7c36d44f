import type { Message } from "@simulacra-ai/core";
import { as_stored, has_capability } from "../capabilities.js";
import { has_code, session_not_found } from "../errors.js";
import { inherits, LINEAGE_KEYS, resolve_session, type ResolvedSession } from "../lineage.js";
import { published } from "../tracing.js";
import type { SessionDraft, SessionMetadata, SessionStore, StoredSession } from "../types.js";
import type { Messages } from "./timeline.js";

export type Metadata = Partial<SessionMetadata>;

/** A store as the manager uses it: each step by the cheapest method that the store is capable of. */
export class StorePort {
  readonly store: SessionStore;
  readonly #given: SessionStore;

  constructor(store: SessionStore) {
    this.#given = store;
    this.store = published(store);
  }

  /** Messages of the conversation as the store would give them back: to be compared with what it has. */
  as_stored(messages: Messages): Messages {
    return as_stored(this.#given, { messages: messages as Message[] }).messages;
  }

  /** The same of a draft. */
  draft_as_stored(draft: SessionDraft): SessionDraft {
    return as_stored(this.#given, { draft }).draft;
  }

  /** Whether another writer of a session is noticed. */
  get detects_conflicts(): boolean {
    return has_capability(this.store, "append") || has_capability(this.store, "replace");
  }

  load(id: string): Promise<StoredSession | undefined> {
    return this.store.load(id);
  }

  /**
   * A session with all that it inherits. What is missing is looked for once more: its parents may have been moved
   * while they were read.
   */
  async resolve(id: string, options: { cut_cycles?: boolean } = {}): Promise<ResolvedSession | undefined> {
    const load = (of: string) => this.store.load(of);
    const resolved = await resolve_session(id, load, options);
    return resolved === undefined || resolved.missing.length === 0 ? resolved : resolve_session(id, load, options);
  }

  /** The same, where a damaged session or parent is no reason to give up. */
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

  /** What can be read of a session's history. */
  async readable_history(id: string): Promise<Message[]> {
    const resolved = await this.resolve_readable(id);
    return resolved === undefined || resolved === "damaged" ? [] : resolved.messages;
  }

  /**
   * Writes all messages of a session, where the store can only over this revision (`null`: only a new session).
   * Returns the new revision, if the store has such.
   */
  async put(id: string, messages: Messages, metadata: Metadata, revision: string | null): Promise<string | undefined> {
    if (has_capability(this.store, "replace")) {
      return (await this.store.replace(id, messages as Message[], { revision, metadata })).revision;
    }
    await this.store.save(id, messages as Message[], metadata);
    return undefined;
  }

  /**
   * Writes a new session under an id that nobody else knows. It may be there already, from an attempt whose answer was
   * lost: then it is written over.
   */
  async create(id: string, messages: Messages, metadata: Metadata): Promise<string | undefined> {
    try {
      return await this.put(id, messages, metadata, null);
    } catch (error) {
      const stored = has_code(error, "conflict") ? await this.store.load(id) : undefined;
      if (stored === undefined) {
        throw error;
      }
      const stale = Object.fromEntries(LINEAGE_KEYS.filter((key) => stored.metadata[key]).map((key) => [key, null]));
      return this.put(id, messages, { ...stale, ...metadata }, stored.revision ?? null);
    }
  }

  /**
   * Adds messages and metadata to what is stored at a revision. Returns the new revision; `"incapable"`: the store
   * cannot, and everything has to be written.
   */
  async extend(
    id: string,
    added: Messages,
    metadata: Metadata,
    revision: string,
  ): Promise<{ revision: string } | "incapable"> {
    if (added.length === 0 && Object.keys(metadata).length === 0) {
      return { revision };
    }
    if (added.length === 0 && has_capability(this.store, "update")) {
      if (!(await this.store.update(id, metadata))) {
        throw session_not_found(id);
      }
      return { revision };
    }
    return has_capability(this.store, "append")
      ? this.store.append(id, added as Message[], { revision, metadata })
      : "incapable";
  }

  /**
   * Merges metadata alone into a stored session.
   * @throws {SessionError} `not_found`.
   */
  async update(id: string, metadata: Metadata): Promise<void> {
    if (has_capability(this.store, "update")) {
      if (!(await this.store.update(id, metadata))) {
        throw session_not_found(id);
      }
      return;
    }
    const record = await this.store.load(id);
    if (record === undefined) {
      throw session_not_found(id);
    }
    await this.store.save(id, record.messages, metadata);
  }

  async flush(id: string): Promise<void> {
    if (has_capability(this.store, "flush")) {
      await this.store.flush(id);
    }
  }

  /** The sessions that inherit from this one. */
  async forks_of(id: string): Promise<SessionMetadata[]> {
    const entries = await this.store.list({ parent_id: id });
    return entries.filter((entry) => entry.parent_id === id && inherits(entry));
  }

  /** Sessions and all that descend from them, the deepest first; a cycle is visited once. */
  async with_descendants(ids: readonly string[]): Promise<string[]> {
    const children = new Map<string, string[]>();
    for (const { id: child, parent_id } of await this.store.list()) {
      if (parent_id !== undefined) {
        children.set(parent_id, [...(children.get(parent_id) ?? []), child]);
      }
    }
    const found = new Set(ids);
    for (const ancestor of found) {
      children.get(ancestor)?.forEach((child) => found.add(child));
    }
    return [...found].reverse();
  }
}
