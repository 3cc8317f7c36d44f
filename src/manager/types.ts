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
   * Decides about a session that another writer has changed or deleted. `"fork"` (default) stores our history as a fork
   * from the last common message, or under a new id, makes the fork current, and emits `conflict`. `"error"`
   * reports the conflict and changes nothing.
   */
  on_conflict?: "fork" | "error";
  /**
   * Decides about the stored version after the application cleared, reloaded or edited the conversation. `"keep"`
   * (default) first stores the old version as a session of its own. `"overwrite"` keeps no copy.
   */
  on_replace?: "keep" | "overwrite";
  /**
   * Store the unfinished turn as the session's draft, in stores with `set_draft`: the prompt before the model is asked,
   * then the answer so far. Without `auto_save` no draft is written, but a stored draft is still loaded. `false`: no
   * draft is written or loaded. Default `true`.
   */
  drafts?: boolean;
  /** Milliseconds between two draft writes of an answer. `Infinity`: one write, when the turn ends. Default 1,000. */
  draft_interval_ms?: number;
}

export interface DeleteOptions {
  /**
   * Decides about forks of the deleted session. `"keep"` (default) first writes the inherited messages into the forks.
   * `"refuse"` rejects if there are forks. `"cascade"` deletes all descendants: forks and children.
   */
  forks?: "keep" | "refuse" | "cascade";
}

export interface ForkOptions {
  /** Name the parent for provenance only, and keep the conversation's messages. Default `false`. */
  detached?: boolean;
  /** The last message that the fork inherits. Default: the parent's last message. */
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

/** A conflict with another writer. Both histories are stored. */
export interface ConflictEvent {
  /** The session that another writer changed or deleted. */
  readonly id: string;
  /** The fork that stores our history, and is the current session from then on. */
  readonly fork_id: string;
  readonly error: SessionError;
}

export interface SessionManagerEvents {
  /** Stored messages were put into the conversation. */
  load: [event: LoadEvent];
  /** A state of the session was stored. */
  save: [event: SessionSnapshot];
  /** An operation failed that no caller waits for, of children, too (`context.session_id` names the session). */
  lifecycle_error: [event: LifecycleErrorEvent];
  /** Another writer's history conflicts with ours. Our history is stored as a fork. */
  conflict: [event: ConflictEvent];
  dispose: [];
}
