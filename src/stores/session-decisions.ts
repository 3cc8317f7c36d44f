import type { Message } from "@simulacra-ai/core";
import { prompt_mark } from "../draft.js";
import { SessionError, session_not_found } from "../errors.js";
import { messages_to_json, metadata_to_plain } from "../json.js";
import { merge_metadata } from "../metadata.js";
import { revision_of } from "../revision.js";
import { new_token } from "../token.js";
import type { SessionMetadata, SessionRevision } from "../types.js";

/** What a change is decided on: the session without its messages. */
export interface StoredHead {
  metadata: SessionMetadata;
  revision: string;
  message_count: number;
}

/** What becomes of a session. */
export interface SessionChange {
  /** Complete, with the new count. */
  metadata: SessionMetadata;
  revision: string;
  /** Where the messages change: how many stay, and which come behind them. */
  messages?: {
    kept: number;
    /** The JSON text of each. */
    texts: readonly string[];
    /** Their ids as {@link prompt_mark} writes them: by these a draft becomes void. */
    ids: ReadonlySet<string>;
  };
}

/** What a change comes to, and what there is to write for it. */
export interface Decision<T> {
  result: T;
  write?: SessionChange;
}

/** May be asked again, about another state; nothing that it knows changes. */
export type Decide<T> = (stored: StoredHead | undefined) => Decision<T>;

/*
 * Each of these takes what the caller gives as it is at the call. Where it does not suit what is stored, the decision
 * throws `not_found` or `conflict`.
 */

export function decide_save(
  id: string,
  messages: readonly Message[],
  metadata: Partial<SessionMetadata> | undefined,
): Decide<SessionRevision> {
  const texts = messages_to_json(messages, id);
  const given = metadata_to_plain(metadata, id);
  const ids = ids_of(messages);
  return (stored) => {
    const merged = merge_metadata(stored?.metadata, given, { id, message_count: texts.length });
    const revision = new_token();
    return { result: { revision }, write: { metadata: merged, revision, messages: { kept: 0, texts, ids } } };
  };
}

export function decide_replace(
  id: string,
  messages: readonly Message[],
  options: { revision: string | null; metadata?: Partial<SessionMetadata> },
): Decide<SessionRevision> {
  const expected = revision_of(options, id);
  const save = decide_save(id, messages, options.metadata);
  return (stored) => {
    if (expected !== null) {
      require_revision(id, stored, expected);
    } else if (stored) {
      throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
    }
    return save(stored);
  };
}

export function decide_append(
  id: string,
  messages: readonly Message[],
  options: { revision: string; metadata?: Partial<SessionMetadata> },
): Decide<SessionRevision> {
  const texts = messages_to_json(messages, id);
  const given = metadata_to_plain(options?.metadata, id);
  const expected = revision_of(options, id);
  const ids = ids_of(messages);
  return (stored) => {
    const { metadata: old, message_count: kept, revision: current } = require_revision(id, stored, expected);
    const metadata = merge_metadata(old, given, { id, message_count: kept + texts.length });
    if (texts.length === 0) {
      return { result: { revision: current }, write: { metadata, revision: current } };
    }
    const revision = new_token();
    return { result: { revision }, write: { metadata, revision, messages: { kept, texts, ids } } };
  };
}

/** Whether there is a session. */
export function decide_update(id: string, metadata: Partial<SessionMetadata>): Decide<boolean> {
  const given = metadata_to_plain(metadata, id);
  return (stored) => {
    if (!stored) {
      return { result: false };
    }
    const { message_count, revision } = stored;
    const merged = merge_metadata(stored.metadata, given, { id, message_count });
    return { result: true, write: { metadata: merged, revision } };
  };
}

function ids_of(messages: readonly Message[]): Set<string> {
  return new Set(messages.map(prompt_mark).filter((id) => id !== undefined));
}

function require_revision(id: string, stored: StoredHead | undefined, revision: string): StoredHead {
  if (!stored) {
    throw session_not_found(id);
  }
  if (stored.revision !== revision) {
    throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
  }
  return stored;
}
