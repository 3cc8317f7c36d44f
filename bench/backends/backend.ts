import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "@simulacra-ai/session";
import type { RedisSessionStore } from "@simulacra-ai/session/redis";
import type { SqlSessionStore } from "@simulacra-ai/session/sql";

/** What sessions are kept in: a server, or a library in this process. */
export interface Backend {
  name: string;
  /** @throws where it cannot be reached. */
  reach(): Promise<void>;
  open(): Promise<Place>;
}

/** A schema, a database or a prefix of one's own, gone when it is closed. */
export interface Place {
  /** A store of its own each time. */
  tables(name: string): Promise<Tables>;
  /** Where other processes find a store; `undefined`: several processes are not measured here. */
  address(name: string): Address | undefined;
  close(): Promise<void>;
}

export type Address = { kind: "postgres"; schema: string; name: string } | { kind: "redis"; prefix: string };

/** A store, and the way past it. */
export interface Tables {
  store: SqlSessionStore | RedisSessionStore;
  by_hand: ByHand;
  /** Writes sessions in bulk, in the form that the store gives them. */
  fill(sessions: readonly FilledSession[]): Promise<void>;
}

/** What an application would write itself that needs no more than this, over the same client. */
export interface ByHand {
  create(id: string): Promise<void>;
  /** If nobody has written since this did. */
  append(id: string, messages: readonly Message[]): Promise<void>;
  load(id: string): Promise<{ metadata: SessionMetadata; messages: Message[] }>;
  /** The newest sessions. */
  list(limit: number): Promise<SessionMetadata[]>;
}

export interface FilledSession {
  metadata: SessionMetadata;
  /** The JSON text of each. */
  messages: readonly string[];
}

const FIRST_DATE = Date.UTC(2026, 0, 1);
/** Shares no factor with the numbers of sessions, so that each has a date of its own, and they come in no order. */
const STEP = 7_919;

/** Session `n` of so many; session 0 is the oldest, and `place_of_session` says which is the newest. */
export function filled_session(n: number, count: number, message_count: number): FilledSession {
  const date = new Date(FIRST_DATE + 1000 * place_of_session(n, count)).toISOString();
  const id = `session-${String(n).padStart(6, "0")}`;
  const metadata: SessionMetadata = {
    id,
    created_at: date,
    updated_at: date,
    provider: "anthropic",
    model: "a-model",
    label: `What session ${n} was about, in a few words`,
    kind: "root",
    message_count,
  };
  const messages = Array.from({ length: message_count }, (_, at) => {
    const text = `What is said at ${at} in session ${n}.`;
    const role = at % 2 === 0 ? "user" : "assistant";
    return JSON.stringify({ role, content: [{ type: "text", text }], id: `message-${at}`, timestamp: at });
  });
  return { metadata, messages };
}

/** How many of the sessions are older than session `n`. */
export function place_of_session(n: number, count: number): number {
  return (n * STEP) % count;
}
