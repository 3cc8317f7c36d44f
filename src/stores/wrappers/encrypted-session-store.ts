import type { Message } from "@simulacra-ai/core";
import { draft_to_json, holds_prompt, same_prompt } from "../../draft.js";
import { SessionError, session_not_found } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { revision_of } from "../../revision.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { SessionCipher, type EncryptionKeys } from "./session-cipher.js";
import { BEGINNING, SessionSeal, type Tail } from "./session-seal.js";
import { redacts, WrappedStore } from "./wrapped-store.js";

export interface EncryptedSessionStoreOptions {
  /** Secrets of at least 32 random bytes each, by an id that is stored beside what each has encrypted. */
  keys: EncryptionKeys;
  /** The id of the key that encrypts; all of them decrypt. */
  current: string;
  /** Read what is not encrypted as it is, instead of rejecting with `corrupt`; for the time of a migration. */
  accept_plaintext?: boolean;
}

const REMEMBERED_TAILS = 1_000;

type Metadata = Partial<SessionMetadata>;

/**
 * Encrypts what the inner store keeps: each message becomes one `raw` content, valid for every store; label, custom
 * metadata and the checkpoint's summary are encrypted too. A message is bound to its session, its place and the message
 * before it: swapped, moved or replayed ones are `corrupt`. Whoever can write the storage can put back, unnoticed, an old
 * state of a session, one older value of its metadata or an older draft, cut a history at its end, and change what is
 * readable.
 *
 * Readable for the storage: ids of sessions, dates, counts, lineage, kinds, provider, model, usage, roles and lengths.
 * Costs a third more space. What no key opens is an error that names the session, and `damaged` in a list where the entry
 * has a part in it; a draft that no key opens is left out. A `RedactingSessionStore` belongs around it, never inside.
 */
export class EncryptedSessionStore extends WrappedStore {
  readonly #seal: SessionSeal;
  readonly #tails = new Map<string, Tail>();
  /** Drafts under old keys that were read: the inner store does not know their turns. */
  readonly #old_drafts = new Map<string, { draft: SessionDraft; is_void: boolean }>();

  /** @throws {SessionError} `invalid_input` for keys that are none, and around a store that redacts. */
  constructor(inner: SessionStore, { keys, current, accept_plaintext = false }: EncryptedSessionStoreOptions) {
    super(inner, (parts) => parts); // what the inner store changes of texts would be ciphertext, which has to stay as it is
    if (redacts(inner)) {
      throw new SessionError(
        "invalid_input",
        "a RedactingSessionStore belongs outside: here it would redact ciphertext",
      );
    }
    this.#seal = new SessionSeal(new SessionCipher(keys, current), accept_plaintext);
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return (await this.inner.list(query)).map((entry) => this.#seal.open_entry(entry));
  }

  async load(id: string): Promise<StoredSession | undefined> {
    const stored = await this.inner.load(id);
    if (!stored) {
      return undefined;
    }
    const { messages, tail } = this.#seal.open_messages(id, stored);
    this.#remember(id, tail);
    const { draft: sealed, ...rest } = stored;
    const draft = sealed && this.#seal.open_draft(id, sealed);
    if (sealed && draft && !this.#seal.is_current(id, sealed, draft)) {
      this.#old_drafts.set(id, { draft, is_void: holds_prompt(messages, draft) });
    }
    return {
      ...rest,
      metadata: this.#seal.open_metadata(id, stored.metadata),
      messages,
      ...(draft && !holds_prompt(messages, draft) && { draft }),
    };
  }

  async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    const { texts, ids } = taken(messages, id);
    const { sealed } = this.#seal.seal_messages(id, texts, BEGINNING);
    await this.inner.save(id, sealed, this.#seal.seal_metadata(id, metadata));
    this.#tails.delete(id);
    await this.#drop_old_draft(id, ids);
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Metadata },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    const { texts, ids } = taken(messages, id);
    const sealed_options = this.#sealed_options(id, options);
    const from = texts.length === 0 ? BEGINNING : await this.#tail_at(id, revision);
    const { sealed, tail } = this.#seal.seal_messages(id, texts, from);
    const result = await this.inner.append(id, sealed, sealed_options);
    if (sealed.length > 0) {
      this.#remember(id, { ...tail, revision: result.revision });
      await this.#drop_old_draft(id, ids);
    }
    return result;
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Metadata },
  ): Promise<SessionRevision> {
    revision_of(options, id);
    const { texts, ids } = taken(messages, id);
    const { sealed, tail } = this.#seal.seal_messages(id, texts, BEGINNING);
    const result = await this.inner.replace(id, sealed, this.#sealed_options(id, options));
    this.#remember(id, { ...tail, revision: result.revision });
    await this.#drop_old_draft(id, ids);
    return result;
  }

  async update(id: string, metadata: Metadata): Promise<boolean> {
    return this.inner.update(id, this.#seal.seal_metadata(id, metadata) ?? {});
  }

  async flush(id?: string): Promise<void> {
    return this.inner.flush(id);
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const text = draft_to_json(draft, id);
    if (text === undefined) {
      return this.inner.set_draft(id, undefined);
    }
    await this.inner.set_draft(id, this.#seal.seal_draft(id, JSON.parse(text) as SessionDraft));
  }

  #sealed_options<R extends { metadata?: Metadata }>(id: string, options: R): R {
    const metadata = this.#seal.seal_metadata(id, options.metadata);
    return { ...options, ...(metadata && { metadata }) };
  }

  /** Where the history ends that is to be continued; read, unless this store has written or read it last. */
  async #tail_at(id: string, revision: string): Promise<Tail> {
    const known = this.#tails.get(id);
    if (known && known.revision === revision) {
      return known;
    }
    const stored = await this.inner.load(id);
    if (!stored) {
      throw session_not_found(id);
    }
    if (stored.revision !== revision) {
      throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
    }
    return this.#seal.open_messages(id, stored).tail;
  }

  /**
   * Does what the inner store does for drafts of the current key: what holds its turn removes it, and no newer one. Where
   * that fails the messages are stored all the same; the draft is void, and the next write tries again.
   */
  async #drop_old_draft(id: string, messages: readonly Pick<Message, "id">[]): Promise<void> {
    const old = this.#old_drafts.get(id);
    if (!old) {
      return;
    }
    old.is_void ||= holds_prompt(messages, old.draft);
    if (old.is_void && (await this.#try_to_drop(id, old.draft))) {
      this.#old_drafts.delete(id);
    }
  }

  async #try_to_drop(id: string, old: SessionDraft): Promise<boolean> {
    try {
      const sealed = (await this.inner.load(id))?.draft;
      const draft = sealed && this.#seal.open_draft(id, sealed);
      if (draft && same_prompt(draft, old)) {
        await this.inner.set_draft(id, undefined);
      }
      return true;
    } catch {
      return false;
    }
  }

  #remember(id: string, tail: Tail): void {
    this.#tails.delete(id);
    this.#tails.set(id, tail);
    const [oldest] = this.#tails.keys();
    if (oldest !== undefined && this.#tails.size > REMEMBERED_TAILS) {
      this.#tails.delete(oldest);
    }
  }
}

/** Messages as they are now, and their ids: the caller may change them while the inner store works. */
function taken(messages: Message[], session_id: string): { texts: string[]; ids: Pick<Message, "id">[] } {
  const texts = messages_to_json(messages, session_id);
  return { texts, ids: messages.map(({ id }) => (id === undefined ? {} : { id })) };
}
