import type { Message, UserMessage } from "@simulacra-ai/core";
import { has_code, SessionError } from "../../errors.js";
import { metadata_to_plain } from "../../json.js";
import type { SessionDraft, SessionMetadata, StoredSession } from "../../types.js";
import { envelope_in, in_envelope } from "./envelope.js";
import { tag_of, type SessionCipher } from "./session-cipher.js";

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

type Metadata = Partial<SessionMetadata>;

/** The end of the chain of a session's messages at a revision. */
export interface Tail {
  revision: string | undefined;
  count: number;
  tag: string;
}

export const BEGINNING: Tail = { revision: undefined, count: 0, tag: "" };

/** What a session is made of, to be stored encrypted and to be read: nothing of where it is kept. */
export class SessionSeal {
  readonly #cipher: SessionCipher;
  readonly #accepts_plaintext: boolean;

  constructor(cipher: SessionCipher, accepts_plaintext: boolean) {
    this.#cipher = cipher;
    this.#accepts_plaintext = accepts_plaintext;
  }

  /** Takes messages as JSON: the caller's may change while a tail is looked up. */
  seal_messages(id: string, texts: readonly string[], from: Tail): { sealed: Message[]; tail: Tail } {
    let { tag, count } = from;
    const sealed = texts.map((text) => {
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
      content: in_envelope(envelope),
    };
  }

  open_messages(id: string, { messages, revision }: StoredSession): { messages: Message[]; tail: Tail } {
    let tag = "";
    const opened = messages.map((message, position) => {
      const envelope = envelope_in(message);
      const text = this.#open(id, ["message", position, tag], envelope, `message ${position}`);
      tag = text === undefined ? "" : tag_of(envelope ?? "");
      return text === undefined ? message : (JSON.parse(text) as Message);
    });
    return { messages: opened, tail: { revision, count: opened.length, tag } };
  }

  seal_draft(id: string, { prompt, partial, updated_at }: SessionDraft): SessionDraft {
    const envelope = this.#cipher.seal(id, ["draft"], JSON.stringify({ prompt, partial }));
    return { prompt: this.#in_envelope(id, prompt, envelope) as UserMessage, updated_at };
  }

  /** `undefined`: it is none of ours, or no key opens it. It costs nobody the session. */
  open_draft(id: string, draft: SessionDraft): SessionDraft | undefined {
    try {
      const text = this.#open(id, ["draft"], envelope_in(draft.prompt), "the draft");
      const opened = text === undefined ? draft : (JSON.parse(text) as Omit<SessionDraft, "updated_at">);
      return { ...opened, updated_at: draft.updated_at };
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      return undefined;
    }
  }

  /** Whether a draft, which is opened, was written with the current key: else the inner store cannot tell its turn. */
  is_current(id: string, sealed: SessionDraft, { prompt }: SessionDraft): boolean {
    return prompt.id === undefined || sealed.prompt.id === this.#cipher.hidden_id(id, prompt.id);
  }

  seal_metadata(id: string, metadata: Metadata | undefined): Metadata | undefined {
    if (!metadata) {
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

  open_metadata(id: string, metadata: SessionMetadata): SessionMetadata {
    const entries = Object.entries(metadata).map(([key, value]) => {
      const is_absent = value === null || value === undefined; // stores of four methods may hold either
      if (is_absent || PLAIN_KEYS.has(key)) {
        return [key, value as unknown] as const;
      }
      const { encrypted, summary } = value as { encrypted?: unknown; summary?: unknown };
      const envelope = TEXT_KEYS.has(key) ? (value as unknown) : key === "checkpoint_state" ? summary : encrypted;
      const text = this.#open(id, ["metadata", key], envelope, key);
      return [key, text === undefined ? (value as unknown) : (JSON.parse(text) as unknown)] as const;
    });
    return Object.fromEntries(entries) as unknown as SessionMetadata;
  }

  /** What cannot be opened is left out, and the entry says why. */
  open_entry(entry: SessionMetadata): SessionMetadata {
    try {
      return this.open_metadata(entry.id, entry);
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

function cannot_open(session_id: string, reason: string, cause?: unknown): SessionError {
  const details = { session_id, cause };
  return new SessionError("corrupt", `session ${session_id} cannot be decrypted: ${reason}`, details);
}
