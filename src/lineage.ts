import type { Message } from "@simulacra-ai/core";
import { has_code, invalid_input, reason_of, SessionError } from "./errors.js";
import type { SessionMetadata, StoredSession } from "./types.js";

/** A session with all that it inherits. */
export interface ResolvedSession {
  record: StoredSession;
  /** Inherited messages first, then the session's own. */
  messages: Message[];
  /** How many of them are inherited. */
  inherited: number;
  /** What the chain of parents lacks, in words; empty where it is whole. */
  missing: string[];
  /** The session's record and those of its parents, the nearest first. */
  chain: StoredSession[];
}

/** What says of a session where its history begins. */
const LINEAGE_KEYS = ["parent_id", "fork_message_id", "fork_message_count", "detached"] as const;

/** True for a key of metadata that says of a session where its history begins. */
export function is_lineage(key: string): boolean {
  return (LINEAGE_KEYS as readonly string[]).includes(key);
}

/** True where two states of a session take the same from the same parent. */
export function same_lineage(a: Partial<SessionMetadata>, b: Partial<SessionMetadata>): boolean {
  return LINEAGE_KEYS.every((key) => (a[key] ?? undefined) === (b[key] ?? undefined));
}

/** True where a session takes messages from its parent. A parent whose id is no text, or an empty one, has none. */
export function inherits(metadata: SessionMetadata): metadata is SessionMetadata & { parent_id: string } {
  return typeof metadata.parent_id === "string" && metadata.parent_id !== "" && is_attached(metadata);
}

/** True where a session is meant to take messages from its parent, whatever that may be. */
function is_attached({ parent_id, detached, fork_message_count }: SessionMetadata): boolean {
  return (parent_id ?? undefined) !== undefined && !detached && fork_message_count !== 0;
}

/**
 * Loads a session and its parents in one pass, each record once. Other programs may have written a `parent_id` that is no
 * valid id: such a parent is missing.
 * Returns `undefined` where there is no such session.
 * @throws {SessionError} `lineage` for a cycle, unless it is to be cut; whatever `load` throws, for a damaged
 *   parent too.
 */
export async function resolve_session(
  id: string,
  load: (id: string) => Promise<StoredSession | undefined>,
  { cut_cycles = false } = {},
): Promise<ResolvedSession | undefined> {
  const chain: StoredSession[] = [];
  const missing: string[] = [];
  const seen = new Set<string>();
  for (let next: string | undefined = id; next !== undefined;) {
    if (seen.has(next)) {
      if (cut_cycles) {
        break;
      }
      throw new SessionError("lineage", `the parents of session ${id} form a cycle at ${next}`, { session_id: id });
    }
    seen.add(next);
    const child = chain.at(-1)?.metadata;
    let record: StoredSession | undefined;
    try {
      record = await load(next);
    } catch (error) {
      const is_alike = has_code(error, "conflict"); // another session has a name that is alike, and is not the parent
      if (!child || !(is_alike || has_code(error, "invalid_id"))) {
        throw error;
      }
      missing.push(is_alike ? `the parent of ${child.id} is gone: ${reason_of(error)}` : invalid_parent(child));
      break;
    }
    if (!record) {
      if (!child) {
        return undefined;
      }
      missing.push(`session ${next}, the parent of ${child.id}, is gone`);
      break;
    }
    chain.push(record);
    const { metadata } = record;
    next = inherits(metadata) ? metadata.parent_id : undefined;
    if (next === undefined && is_attached(metadata)) {
      missing.push(invalid_parent(metadata));
    }
  }
  let messages: Message[] = [];
  let inherited = 0;
  for (const record of chain.toReversed()) {
    const cut = fork_point(record.metadata, messages);
    if (cut.missing !== undefined) {
      missing.push(cut.missing);
    }
    inherited = cut.count;
    messages = [...messages.slice(0, cut.count), ...record.messages];
  }
  return { record: chain[0] as StoredSession, messages, inherited, missing, chain };
}

function invalid_parent({ id, parent_id }: SessionMetadata): string {
  return `the parent of session ${id} has no valid id: ${JSON.stringify(parent_id)}`;
}

/** How many of the parent's messages a session inherits, and what of its fork point the parent no longer holds. */
export function fork_point(
  metadata: SessionMetadata,
  parent_messages: readonly Message[],
): { count: number; missing?: string } {
  if (!inherits(metadata)) {
    return { count: 0 };
  }
  const fork_message_id = metadata.fork_message_id ?? undefined; // stores that do not merge as ours may hold null
  const fork_message_count = metadata.fork_message_count ?? undefined;
  const remaining = Math.min(fork_message_count ?? parent_messages.length, parent_messages.length);
  if (fork_message_id === undefined) {
    return { count: remaining };
  }
  if (fork_message_count !== undefined && parent_messages[fork_message_count - 1]?.id === fork_message_id) {
    return { count: fork_message_count };
  }
  const index = parent_messages.findIndex((message) => message.id === fork_message_id);
  if (index >= 0) {
    return { count: index + 1 };
  }
  return {
    count: remaining,
    missing: `message ${fork_message_id}, where session ${metadata.id} was forked, is not in session ${metadata.parent_id}`,
  };
}

/**
 * Returns the number of messages up to and including `message_id`, or the last of them where the id occurs more than once.
 * @throws {SessionError} `invalid_input` where there is no such message.
 */
export function count_through(messages: readonly Message[], message_id: string, session_id: string): number {
  const index = messages.findLastIndex((message) => message.id === message_id);
  if (index < 0) {
    throw invalid_input(`session ${session_id} has no message ${message_id}`, { session_id });
  }
  return index + 1;
}
