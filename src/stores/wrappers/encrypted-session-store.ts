import type { AssistantMessage, Message, UserMessage } from "@simulacra-ai/core";
import { AS_STORED, type SessionParts } from "../../capabilities.js";
import { draft_to_json, holds_prompt } from "../../draft.js";
import { SessionError, session_not_found } from "../../errors.js";
import { messages_to_json, metadata_to_plain } from "../../json.js";
import { revision_of } from "../../revision.js";
import { publish_operations } from "../../tracing.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { SessionCipher, tag_of, type EncryptionKeys } from "./session-cipher.js";
import { WrappedStore } from "./wrapped-store.js";

export interface EncryptedSessionStoreOptions {
  /** Secrets of at least 32 random bytes each, by an id that is stored beside what each has encrypted. */
  keys: EncryptionKeys;
  /** The id of the key that encrypts; all of them decrypt. */
  current: string;
  /** Read what is not encrypted as it is, instead of rejecting with `corrupt`; for the time of a migration. */
  accept_plaintext?: boolean;
}

const MODEL_KIND = "simulacra-session/encrypted";

/** What the inner store works with, and what says nothing of content. Everything else is encrypted. */
const PLAIN_KEYS = new Set([
  "id",
  "created_at",
  "updated_at",
  "message_count",
  "provider",
  "model",
  "parent_id",
  "detached",
  "is_checkpoint",
  "kind",
  "fork_message_count",
  "label_source",
  "usage",
  "damaged",
]);
/** Their values are texts, and stay texts. */
const TEXT_KEYS = new Set(["label", "fork_message_id"]);
const REMEMBERED_TAILS = 1_000;

type Metadata = Partial<SessionMetadata>;

/** The end of the chain of a session's messages at a revision. */
interface Tail {
  revision: string | undefined;
  count: number;
  tag: string;
}

const BEGINNING: Tail = { revision: undefined, count: 0, tag: "" };

/**
 * Encrypts what the inner store keeps: each message becomes one `raw` content, valid for every store; label, custom
 * metadata and the checkpoint's summary are encrypted too. A message is bound to its session, its place and the message
 * before it: swapped, moved or replayed ones are `corrupt`. An old state of a whole session, put back by whoever can write
 * the storage, is not noticed, nor is a history that was cut at its end.
 *
 * Readable for the storage: ids of sessions, dates, counts, lineage, kinds, provider, model, usage, roles and lengths.
 * Costs a third more space. What no key opens is an error that names the session, and `damaged` in a list.
 */
export class EncryptedSessionStore extends WrappedStore {
  readonly #cipher: SessionCipher;
  readonly #accepts_plaintext: boolean;
  readonly #tails = new Map<string, Tail>();

  /** @throws {SessionError} `invalid_input` for keys that are none. */
  constructor(inner: SessionStore, { keys, current, accept_plaintext = false }: EncryptedSessionStoreOptions) {
    super(inner);
    this.#cipher = new SessionCipher(keys, current);
    this.#accepts_plaintext = accept_plaintext;
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return (await this.inner.list(query)).map((entry) => this.#open_entry(entry));
  }

  async load(id: string): Promise<StoredSession | undefined> {
    const stored = await this.inner.load(id);
    if (stored === undefined) {
      return undefined;
    }
    const { messages, tail } = this.#open_messages(id, stored);
    this.#remember(id, tail);
    const draft = stored.draft && this.#open_draft(id, stored.draft);
    const { draft: _sealed, ...rest } = stored;
    return {
      ...rest,
      metadata: this.#open_metadata(id, stored.metadata),
      messages,
      ...(draft && !holds_prompt(messages, draft) && { draft }),
    };
  }

  async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    const { sealed } = this.#seal_messages(id, messages, BEGINNING);
    await this.inner.save(id, sealed, this.#seal_metadata(id, metadata));
    this.#tails.delete(id);
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Metadata },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    const from = messages.length === 0 ? BEGINNING : await this.#tail_at(id, revision);
    const { sealed, tail } = this.#seal_messages(id, messages, from);
    const result = await this.inner.append(id, sealed, this.#sealed_options(id, options));
    if (sealed.length > 0) {
      this.#remember(id, { ...tail, revision: result.revision });
    }
    return result;
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Metadata },
  ): Promise<SessionRevision> {
    const { sealed, tail } = this.#seal_messages(id, messages, BEGINNING);
    const result = await this.inner.replace(id, sealed, this.#sealed_options(id, options));
    this.#remember(id, { ...tail, revision: result.revision });
    return result;
  }

  async update(id: string, metadata: Metadata): Promise<boolean> {
    return this.inner.update(id, this.#seal_metadata(id, metadata) ?? {});
  }

  async flush(id?: string): Promise<void> {
    return this.inner.flush(id);
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const text = draft_to_json(draft, id);
    if (draft === undefined || text === undefined) {
      return this.inner.set_draft(id, undefined);
    }
    const { prompt, partial } = JSON.parse(text) as SessionDraft;
    const envelope = this.#cipher.seal(id, ["draft"], JSON.stringify({ prompt, partial }));
    await this.inner.set_draft(id, {
      prompt: this.#in_envelope(id, prompt, envelope) as UserMessage,
      updated_at: draft.updated_at,
    });
  }

  /** What the inner store makes of it is made of what is encrypted. */
  override [AS_STORED](parts: SessionParts): SessionParts {
    return parts;
  }

  #sealed_options<R extends { metadata?: Metadata }>(id: string, options: R): R {
    const metadata = this.#seal_metadata(id, options.metadata);
    return { ...options, ...(metadata && { metadata }) };
  }

  /** Where the history ends that is to be continued; read, unless this store has written or read it last. */
  async #tail_at(id: string, revision: string): Promise<Tail> {
    const known = this.#tails.get(id);
    if (known?.revision === revision) {
      return known;
    }
    const stored = await this.inner.load(id);
    if (stored === undefined) {
      throw session_not_found(id);
    }
    if (stored.revision !== revision) {
      throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
    }
    return this.#open_messages(id, stored).tail;
  }

  #remember(id: string, tail: Tail): void {
    this.#tails.delete(id);
    this.#tails.set(id, tail);
    const [oldest] = this.#tails.keys();
    if (oldest !== undefined && this.#tails.size > REMEMBERED_TAILS) {
      this.#tails.delete(oldest);
    }
  }

  #seal_messages(id: string, messages: Message[], from: Tail): { sealed: Message[]; tail: Tail } {
    let { tag, count } = from;
    const sealed = messages_to_json(messages, id).map((text) => {
      const envelope = this.#cipher.seal(id, ["message", count, tag], text);
      tag = tag_of(envelope);
      count += 1;
      return this.#in_envelope(id, JSON.parse(text) as Message, envelope);
    });
    return { sealed, tail: { revision: undefined, count, tag } };
  }

  /** Of the message remain its role, its time, and something in place of its id. */
  #in_envelope(session_id: string, { id, role, timestamp }: Message, envelope: string): Message {
    return {
      role,
      ...(typeof id === "string" && { id: this.#cipher.hidden_id(session_id, id) }),
      ...(timestamp !== undefined && { timestamp }),
      content: [{ type: "raw", model_kind: MODEL_KIND, data: envelope }],
    };
  }

  #open_messages(id: string, { messages, revision }: StoredSession): { messages: Message[]; tail: Tail } {
    let tag = "";
    const opened = messages.map((message, position) => {
      const envelope = envelope_in(message);
      const text = this.#open(id, ["message", position, tag], envelope, `message ${position}`);
      tag = text === undefined ? "" : tag_of(envelope ?? "");
      return text === undefined ? message : (JSON.parse(text) as Message);
    });
    return { messages: opened, tail: { revision, count: opened.length, tag } };
  }

  #open_draft(id: string, draft: SessionDraft): SessionDraft {
    const text = this.#open(id, ["draft"], envelope_in(draft.prompt), "the draft");
    const opened =
      text === undefined ? draft : (JSON.parse(text) as { prompt: UserMessage; partial?: Partial<AssistantMessage> });
    return { ...opened, updated_at: draft.updated_at };
  }

  #seal_metadata(id: string, metadata: Metadata | undefined): Metadata | undefined {
    if (metadata === undefined) {
      return undefined;
    }
    const entries = Object.entries(metadata_to_plain(metadata, id)).map(([key, value]) => {
      return [key, PLAIN_KEYS.has(key) || value === null ? value : this.#seal_value(id, key, value)] as const;
    });
    return Object.fromEntries(entries);
  }

  #seal_value(id: string, key: string, value: unknown): unknown {
    const envelope = this.#cipher.seal(id, ["metadata", key], JSON.stringify(value));
    if (TEXT_KEYS.has(key)) {
      return envelope;
    }
    return key === "checkpoint_state" ? { message_id: "", summary: envelope } : { encrypted: envelope };
  }

  #open_metadata(id: string, metadata: SessionMetadata): SessionMetadata {
    const entries = Object.entries(metadata).map(([key, value]) => {
      if (PLAIN_KEYS.has(key)) {
        return [key, value as unknown] as const;
      }
      const { encrypted, summary } = (value ?? {}) as { encrypted?: unknown; summary?: unknown };
      const envelope = TEXT_KEYS.has(key) ? (value as unknown) : key === "checkpoint_state" ? summary : encrypted;
      const text = this.#open(id, ["metadata", key], envelope, key);
      return [key, text === undefined ? (value as unknown) : (JSON.parse(text) as unknown)] as const;
    });
    return Object.fromEntries(entries) as unknown as SessionMetadata;
  }

  /** What cannot be opened is left out, and the entry says why. */
  #open_entry(entry: SessionMetadata): SessionMetadata {
    try {
      return this.#open_metadata(entry.id, entry);
    } catch (error) {
      const plain = Object.fromEntries(Object.entries(entry).filter(([key]) => PLAIN_KEYS.has(key)));
      return { ...(plain as unknown as SessionMetadata), damaged: (error as Error).message };
    }
  }

  /** `undefined`: it is not encrypted, and need not be. @throws {SessionError} `corrupt`. */
  #open(session_id: string, place: readonly unknown[], envelope: unknown, what: string): string | undefined {
    let text: string | undefined;
    try {
      text = this.#cipher.open(session_id, place, envelope);
    } catch (error) {
      const reason = (error as Error).message.replace(/^Unsupported state.*/, "it was changed, or belongs elsewhere");
      throw cannot_open(session_id, `${what}: ${reason}`, error);
    }
    if (text === undefined && !this.#accepts_plaintext) {
      throw cannot_open(session_id, `${what} is not encrypted`);
    }
    return text;
  }
}

publish_operations(EncryptedSessionStore);

function cannot_open(session_id: string, reason: string, cause?: unknown): SessionError {
  const details = { session_id, ...(cause !== undefined && { cause }) };
  return new SessionError("corrupt", `session ${session_id} cannot be decrypted: ${reason}`, details);
}

function envelope_in({ content }: Pick<Message, "content">): string | undefined {
  const [only, ...others] = Array.isArray(content) ? content : [];
  const is_ours = only?.type === "raw" && only.model_kind === MODEL_KIND && others.length === 0;
  return is_ours ? only.data : undefined;
}
