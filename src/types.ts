import type { AssistantMessage, CheckpointState, Message, Usage, UserMessage } from "@simulacra-ai/core";

/** What a session is: begun by the user, branched off another, a child conversation's, or a checkpoint's summary. */
export type SessionKind = "root" | "fork" | "child" | "checkpoint";

/** The tokens of all turns of a session, summed, and how many turns there were. */
export type SessionUsage = Usage & { requests: number };

/** What is known of a session beside its messages. Keys that nobody knows survive every operation. */
export interface SessionMetadata {
  id: string;
  /** ISO 8601. */
  created_at: string;
  /** ISO 8601. */
  updated_at: string;
  provider?: string;
  model?: string;
  label?: string;
  /** Messages that this session owns; inherited ones do not count. */
  message_count: number;
  parent_id?: string;
  /** The last message inherited from the parent. */
  fork_message_id?: string;
  /** True: the parent is named for provenance only, nothing is inherited. */
  detached?: boolean;
  is_checkpoint?: boolean;
  checkpoint_state?: CheckpointState;
  /** Written at creation, never changed; where it is missing, `session_kind()` derives it. */
  kind?: SessionKind;
  /** How many messages are inherited: decides where `fork_message_id` is missing or ambiguous. */
  fork_message_count?: number;
  /** Who gave the label: an `auto` one never replaces a `user` one. */
  label_source?: "auto" | "user";
  usage?: SessionUsage;
  /** The application's own. */
  custom?: Record<string, unknown>;
  /** Set by `list()` where a session cannot be read: why. */
  damaged?: string;
}

/** The turn that was interrupted: its prompt, and as much of the answer as was stored. */
export interface SessionDraft {
  prompt: UserMessage;
  partial?: Partial<AssistantMessage>;
  /** ISO 8601. */
  updated_at: string;
}

/** A session as a store returns it: the caller's own copy. */
export interface StoredSession {
  metadata: SessionMetadata;
  /** The messages that this session owns, oldest first. */
  messages: Message[];
  /** An opaque token for the messages: equal tokens, equal messages. Absent where the store detects no conflicts. */
  revision?: string;
  draft?: SessionDraft;
}

/** Which sessions `list` returns. Without a key there is no restriction. */
export interface SessionQuery {
  /** At most so many. */
  limit?: number;
  /** Only what comes after this entry: the last one of the page before. */
  before?: Pick<SessionMetadata, "updated_at" | "id">;
  parent_id?: string;
  kinds?: SessionKind[];
}

/** What `append` and `replace` return: the token of the messages as they are now. */
export interface SessionRevision {
  revision: string;
}

/**
 * Where sessions are kept. `list`, `load`, `save` and `delete` make a valid store; every other method is a
 * capability that a store has or has not. A capability counts only where it is defined at least as near the
 * object as `save` and `load`, so a subclass that overrides those is never bypassed.
 *
 * Stores never hand out their own objects and never keep the caller's. They check neither that a parent exists
 * nor the shape of `checkpoint_state`. Every method rejects with a {@link SessionError}.
 */
export interface SessionStore {
  /**
   * The metadata of all sessions, newest `updated_at` first, ties by id ascending (by UTF-16 code unit).
   * A session that cannot be read is listed with `damaged`. Reads no messages where the storage allows it.
   * A store may ignore `query`: callers filter and page what they get.
   */
  list(query?: SessionQuery): Promise<SessionMetadata[]>;

  /**
   * One session, or `undefined` where there is none.
   * @throws {SessionError} `corrupt` where it is there and cannot be read, `invalid_id`, `storage`.
   */
  load(id: string): Promise<StoredSession | undefined>;

  /**
   * Creates the session or replaces its messages, whatever is stored, and merges the metadata: what is stored,
   * then what is given without its `undefined` values (`null` removes a key; an `auto` label never replaces a
   * `user` one), then `id` and `message_count`. A given `created_at` or `updated_at` wins; otherwise the first is
   * kept and the second is now. Costs O(all messages).
   * @throws {SessionError} `invalid_id`, `invalid_input` where JSON cannot hold a value or it has more than 3,000 levels,
   * `storage`; the old state stays.
   */
  save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void>;

  /** Deletes the session and all that belongs to it. Returns whether there was one. */
  delete(id: string): Promise<boolean>;

  /**
   * Adds messages at the end, if the stored ones still are those of `revision`, and merges the metadata.
   * Returns the new revision. Costs O(the new messages), whatever the length of the history.
   * @throws {SessionError} `conflict` where the revision no longer matches, `not_found` where the session is gone:
   *   nothing changed. Otherwise as `save`.
   */
  append?(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision>;

  /**
   * `save`, but only if the stored messages still are those of `revision`; `null`: only if there is no such session.
   * @throws {SessionError} `conflict`, `not_found`: nothing changed. Otherwise as `save`.
   */
  replace?(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision>;

  /**
   * Merges metadata alone, atomically, with no read by the caller. Does not move the revision.
   * Returns whether there is such a session.
   */
  update?(id: string, metadata: Partial<SessionMetadata>): Promise<boolean>;

  /** Brings the at-rest form of one session up to date, or of all. Does not move the revision. */
  flush?(id?: string): Promise<void>;

  /** Keeps the turn under way beside the session, or removes it. Does not move the revision; the last one wins. */
  set_draft?(id: string, draft: SessionDraft | undefined): Promise<void>;
}
