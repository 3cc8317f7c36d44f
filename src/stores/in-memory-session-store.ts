import type { Message } from "@simulacra-ai/core";
import { draft_to_json, holds_prompt } from "../draft.js";
import { SessionError, session_not_found } from "../errors.js";
import { messages_to_json, metadata_to_plain } from "../json.js";
import { apply_query, merge_metadata } from "../metadata.js";
import { revision_of } from "../revision.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../types.js";

interface MemoryRecord {
  metadata: SessionMetadata;
  /** The JSON text of each message: what is handed out is parsed anew. */
  messages: string[];
  revision: string;
  /** As JSON. */
  draft: string | undefined;
}

/**
 * Sessions in this process, gone with it: for tests, and the reference for every store's behaviour. What goes in
 * comes out as JSON holds it, as from a file.
 */
export class InMemorySessionStore implements SessionStore {
  readonly #records = new Map<string, MemoryRecord>();
  #writes = 0;

  constructor() {}

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const entries = Array.from(this.#records.values(), (record) => record.metadata);
    return apply_query(entries, query).map(copy_of);
  }

  async load(id: string): Promise<StoredSession | undefined> {
    const record = this.#records.get(id);
    if (!record) {
      return undefined;
    }
    const messages = messages_of(record);
    const draft = draft_of(record, messages);
    return { metadata: copy_of(record.metadata), messages, revision: record.revision, ...(draft && { draft }) };
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    this.#put(id, messages, messages_to_json(messages, id), metadata);
  }

  async delete(id: string): Promise<boolean> {
    return this.#records.delete(id);
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const added = messages_to_json(messages, id);
    const record = this.#at_revision(id, revision_of(options, id));
    this.#merge(id, record, options.metadata, added.length);
    if (added.length > 0) {
      for (const json of added) {
        record.messages.push(json);
      }
      record.revision = this.#next_revision();
      record.draft = draft_of(record, messages) && record.draft;
    }
    return { revision: record.revision };
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const all = messages_to_json(messages, id);
    const revision = revision_of(options, id);
    if (revision !== null) {
      this.#at_revision(id, revision);
    } else if (this.#records.has(id)) {
      throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
    }
    return { revision: this.#put(id, messages, all, options.metadata) };
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const record = this.#records.get(id);
    if (!record) {
      return false;
    }
    this.#merge(id, record, metadata);
    return true;
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const text = draft_to_json(draft, id);
    const record = this.#records.get(id);
    if (record) {
      record.draft = text;
    } else if (text !== undefined) {
      throw session_not_found(id);
    }
  }

  #at_revision(id: string, revision: string): MemoryRecord {
    const record = this.#records.get(id);
    if (!record) {
      throw session_not_found(id);
    }
    if (record.revision !== revision) {
      throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
    }
    return record;
  }

  #put(
    id: string,
    messages: readonly Message[],
    texts: string[],
    metadata: Partial<SessionMetadata> | undefined,
  ): string {
    if (typeof id !== "string" || id === "") {
      throw new SessionError("invalid_id", "a session id must be a string that is not empty");
    }
    const given = metadata_to_plain(metadata, id);
    const old = this.#records.get(id);
    const merged = merge_metadata(old?.metadata, given, { id, message_count: texts.length });
    const revision = this.#next_revision();
    const is_kept = old?.draft !== undefined && draft_of(old, messages) && draft_of(old, messages_of(old));
    const draft = is_kept ? old.draft : undefined;
    this.#records.set(id, { metadata: merged, messages: texts, revision, draft });
    return revision;
  }

  #next_revision(): string {
    this.#writes += 1;
    return `m${this.#writes}`;
  }

  #merge(id: string, record: MemoryRecord, metadata: Partial<SessionMetadata> | undefined, added = 0): void {
    const message_count = record.messages.length + added;
    record.metadata = merge_metadata(record.metadata, metadata_to_plain(metadata, id), { id, message_count });
  }
}

function messages_of({ messages }: MemoryRecord): Message[] {
  return messages.map((json) => JSON.parse(json) as Message);
}

/** The draft of a record, unless its turn is among these messages. */
function draft_of({ draft: json }: MemoryRecord, messages: readonly Message[]): SessionDraft | undefined {
  const draft = json === undefined ? undefined : (JSON.parse(json) as SessionDraft);
  return draft && !holds_prompt(messages, draft) ? draft : undefined;
}

/** As deep as JSON goes. */
function copy_of(metadata: SessionMetadata): SessionMetadata {
  return JSON.parse(JSON.stringify(metadata)) as SessionMetadata;
}
