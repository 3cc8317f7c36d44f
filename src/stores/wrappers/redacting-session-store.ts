import type { Message } from "@simulacra-ai/core";
import { as_stored, type SessionParts } from "../../capabilities.js";
import { draft_to_json } from "../../draft.js";
import { invalid_input } from "../../errors.js";
import { messages_to_json, metadata_to_plain } from "../../json.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { AutomaticLabels, type Written } from "./automatic-labels.js";
import { redact_credentials } from "./redact-credentials.js";
import { MESSAGE, METADATA, redact_texts } from "./redact-texts.js";
import { WrappedStore } from "./wrapped-store.js";

export interface RedactingSessionStoreOptions {
  /**
   * What is stored of a text. Of what it returns it has to return the same again. Without it, `redact_credentials`: what
   * can be told by its form to be a common credential.
   */
  redact?: (text: string) => string;
}

type Metadata = Partial<SessionMetadata>;

/**
 * Stores every text as `redact` leaves it: of messages, metadata and drafts, however deep, names of keys included. The
 * conversation in memory stays as it is; one that is loaded is redacted. Ids, roles, types, dates and lineage are left
 * alone, and what an `EncryptedSessionStore` has encrypted.
 */
export class RedactingSessionStore extends WrappedStore {
  readonly #redact: (text: string) => string;
  readonly #labels = new AutomaticLabels();

  constructor(inner: SessionStore, { redact = redact_credentials }: RedactingSessionStoreOptions = {}) {
    super(inner, (parts) => this.#as_stored(parts), true);
    if (typeof redact !== "function") {
      throw invalid_input("redact must be a function of a text");
    }
    this.#redact = redact;
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return this.inner.list(query);
  }

  async load(id: string): Promise<StoredSession | undefined> {
    return this.inner.load(id);
  }

  async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    const redacted = this.#messages(id, messages);
    return this.inner.save(id, redacted, this.#metadata(id, metadata, { messages, redacted }));
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Metadata },
  ): Promise<SessionRevision> {
    const redacted = this.#messages(id, messages);
    return this.inner.append(id, redacted, this.#options(id, options, { messages, redacted }));
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Metadata },
  ): Promise<SessionRevision> {
    const redacted = this.#messages(id, messages);
    return this.inner.replace(id, redacted, this.#options(id, options, { messages, redacted }));
  }

  async update(id: string, metadata: Metadata): Promise<boolean> {
    return this.inner.update(id, this.#metadata(id, metadata) ?? {});
  }

  async flush(id?: string): Promise<void> {
    return this.inner.flush(id);
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const text = draft_to_json(draft, id);
    if (text === undefined) {
      return this.inner.set_draft(id, undefined);
    }
    return this.inner.set_draft(id, this.#draft(id, JSON.parse(text) as SessionDraft));
  }

  #as_stored({ messages, metadata, draft }: SessionParts): SessionParts {
    const redacted = messages && this.#messages("", messages);
    const written = messages && redacted && { messages, redacted };
    return as_stored(this.inner, {
      ...(redacted && { messages: redacted }),
      ...(metadata && { metadata: this.#metadata("", metadata, written) as SessionMetadata }),
      ...(draft && { draft: this.#draft("", draft) }),
    });
  }

  #draft(id: string, { prompt, partial, updated_at }: SessionDraft): SessionDraft {
    return {
      prompt: this.#message(id, prompt),
      ...(partial && { partial: this.#message(id, partial) }),
      updated_at,
    };
  }

  #options<R extends { metadata?: Metadata }>(id: string, options: R, written: Written): R {
    const metadata = this.#metadata(id, (options as R | undefined)?.metadata, written);
    return metadata ? { ...options, metadata } : options;
  }

  #messages(id: string, messages: readonly Message[]): Message[] {
    return messages_to_json(messages, id).map((text) => this.#message(id, JSON.parse(text) as Message));
  }

  #message<M extends Partial<Message>>(id: string, message: M): M {
    return redact_texts(message, (text) => this.#text(id, text), MESSAGE) as M;
  }

  #metadata(id: string, metadata: Metadata | undefined, written?: Written): Metadata | undefined {
    if (!metadata) {
      return undefined;
    }
    const redact = (text: string) => this.#text(id, text);
    const plain = metadata_to_plain(metadata, id);
    const label = plain.label_source === "auto" && typeof plain.label === "string" ? plain.label : undefined;
    const labelled = label === undefined ? plain : { ...plain, label: this.#labels.redact(label, redact, written) };
    return redact_texts(labelled, redact, METADATA) as Metadata;
  }

  /** What cannot be redacted is not stored. */
  #text(session_id: string, text: string): string {
    let redacted: unknown;
    try {
      redacted = this.#redact(text);
    } catch (error) {
      throw invalid_input("redact threw: nothing is stored", { session_id, cause: error });
    }
    if (typeof redacted !== "string") {
      throw invalid_input(`redact must return a text, not ${typeof redacted}`, { session_id });
    }
    return redacted;
  }
}
