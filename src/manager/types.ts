import type { Conversation, LifecycleErrorEvent, Message } from "@simulacra-ai/core";
import type { SessionError } from "../errors.js";
import type { SessionDraft, SessionMetadata } from "../types.js";

type OptionalMembers = "state" | "checkpoint_state" | "is_checkpoint" | "send_message";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each event has arguments of its own
type ConversationListener = (...args: any[]) => void;

/** The members of a conversation that the manager uses. A `Conversation` fits, and so does a plain object. */
export type SessionConversation = Pick<Conversation, "load" | "clear"> & {
  readonly messages: readonly Readonly<Message>[];
  on(event: string, listener: ConversationListener): unknown;
  off(event: string, listener: ConversationListener): unknown;
} & { [K in OptionalMembers]?: Conversation[K] | undefined };

export interface SessionManagerOptions {
  /** Save after every turn and checkpoint. Default `true`. */
  auto_save?: boolean;
  /**
   * Begin a session when a turn begins and no session is active (with `auto_save`). Default `false`: such a turn is
   * reported (`lifecycle_error`).
   */
  auto_start?: boolean;
  /** Give sessions without a label one, from the first text of the user. Default `true`. */
  auto_slug?: boolean;
  /**
   * Decides about a session that another writer has changed or deleted. `"fork"` (default) stores our history as a
   * fork from the last common message, or under a new id, goes on there and emits `conflict`; `"error"` reports it and
   * leaves both alone.
   */
  on_conflict?: "fork" | "error";
  /**
   * Decides about the stored version where the application cleared, reloaded or edited the conversation, so that it no
   * longer continues that version. `"keep"` (default) first stores the old version as a session of its own; `"overwrite"`
   * keeps no copy.
   */
  on_replace?: "keep" | "overwrite";
  /**
   * Keep the turn under way beside the session, in stores that can: its prompt before the model is asked, and of the
   * answer what there is. Without `auto_save` none is kept, and one that is there is handed over. `false`: neither.
   * Default `true`.
   */
  drafts?: boolean;
  /** How often the unfinished answer is stored at most, in milliseconds. `Infinity`: when its turn ends. Default 1,000. */
  draft_interval_ms?: number;
}

export interface DeleteOptions {
  /**
   * Decides about sessions that inherit from the deleted one. `"keep"` (default) first writes what they inherit into
   * them; `"refuse"` rejects where there are any; `"cascade"` deletes them, and children, too.
   */
  forks?: "keep" | "refuse" | "cascade";
}

export interface ForkOptions {
  /** True: the parent is named for provenance only; the conversation's messages stay as they are. Default `false`. */
  detached?: boolean;
  /** Fork after this message of the parent, inclusive. Default: after its last one. */
  message_id?: string;
}

/** Metadata that an application may give with a save. */
export type SaveMetadata = Partial<
  Pick<SessionMetadata, "label" | "provider" | "model" | "parent_id" | "fork_message_id" | "detached" | "custom">
>;

/** A session's id and all its messages, inherited ones included: a frozen snapshot. */
export interface SessionSnapshot {
  readonly id: string;
  readonly messages: readonly Readonly<Message>[];
}

/** The messages that `load` put into the conversation, and the interrupted turn, if there is one. */
export interface LoadEvent extends SessionSnapshot {
  readonly draft?: SessionDraft;
}

/** Our history and another writer's both live on. */
export interface ConflictEvent {
  /** The session that another writer changed or deleted. */
  readonly id: string;
  /** Where our history is stored; the current session from then on. */
  readonly fork_id: string;
  readonly error: SessionError;
}

export interface SessionManagerEvents {
  /** Stored messages are now the conversation's. */
  load: [event: LoadEvent];
  /** This state is stored. */
  save: [event: SessionSnapshot];
  /** Something failed that no caller waits for; of children, too (`context.session_id` says whose). */
  lifecycle_error: [event: LifecycleErrorEvent];
  /** Another writer's history stood in the way; ours is stored beside it. */
  conflict: [event: ConflictEvent];
  dispose: [];
}
