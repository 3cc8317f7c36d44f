import type { Message } from "@simulacra-ai/core";
import { holds_prompt } from "../../draft.js";
import { SessionError } from "../../errors.js";
import { apply_query } from "../../metadata.js";
import type { SessionDraft, SessionKind, SessionMetadata, SessionQuery, StoredSession } from "../../types.js";
import { read_entry, read_row } from "../session-rows.js";
import { to_key } from "./sql-keys.js";
import type { SqlDatabase } from "./sql-tables.js";

/** How often a session may be replaced by another writer while it is being read. */
const ATTEMPTS = 100;

/** One page of the list, in the order of the index; no message is read. */
export async function list_sessions(
  { db, names }: SqlDatabase,
  query?: SessionQuery | null,
): Promise<SessionMetadata[]> {
  apply_query([], query); // for its judgement of the limit
  const { limit, before, parent_id, kinds } = query ?? {};
  if (limit === 0 || kinds?.length === 0) {
    return [];
  }
  let rows = db
    .selectFrom(names.sessions)
    .select(["id", "metadata", "updated_at"])
    .orderBy("updated_at", "desc")
    .orderBy("session_key", "asc");
  if (parent_id !== undefined) {
    rows = rows.where("parent_key", "=", to_key(parent_id));
  }
  if (kinds !== undefined) {
    const [kind] = kinds as [SessionKind];
    rows = kinds.length === 1 ? rows.where("kind", "=", kind) : rows.where("kind", "in", kinds);
  }
  if (before !== undefined) {
    const [date, key] = [to_key(before.updated_at), to_key(before.id)];
    rows = rows
      .where("updated_at", "<=", date) // says the same as the next, for the index
      .where((is) => is.or([is("updated_at", "<", date), is("session_key", ">", key)]));
  }
  if (limit !== undefined) {
    rows = rows.limit(Math.min(limit, Number.MAX_SAFE_INTEGER));
  }
  return (await rows.execute()).map(read_entry);
}

/**
 * The session as it was at one moment: its row and draft come from one query, its messages from a second, which takes
 * those alone that belong to this row. Where they are no longer all there, the session was replaced in between.
 * @throws {SessionError} `corrupt`.
 */
export async function load_session(database: SqlDatabase, id: string): Promise<StoredSession | undefined> {
  let last: string | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const row = await read_head(database, id);
    if (row === undefined) {
      return undefined;
    }
    const bodies = await read_bodies(database, id, row);
    if (bodies.length === row.message_count) {
      return session_of(id, row, bodies);
    }
    const state = `${row.generation} ${row.message_count}`;
    if (state === last) {
      throw damaged(id, `it has ${row.message_count} messages, and ${bodies.length} are there`);
    }
    last = state;
  }
  throw new SessionError("storage", `session ${id} is replaced faster than it can be read`, { session_id: id });
}

function read_head({ db, names: { sessions, drafts } }: SqlDatabase, id: string) {
  return db
    .selectFrom(`${sessions} as s`)
    .leftJoin(`${drafts} as d`, "d.session_key", "s.session_key")
    .select(["s.metadata", "s.updated_at", "s.message_count", "s.revision", "s.generation", "d.body as draft"])
    .where("s.session_key", "=", to_key(id))
    .executeTakeFirst();
}

async function read_bodies(
  { db, names }: SqlDatabase,
  id: string,
  { generation, message_count }: { generation: string; message_count: number },
): Promise<string[]> {
  if (message_count === 0) {
    return [];
  }
  const rows = await db
    .selectFrom(names.messages)
    .select("body")
    .where("session_key", "=", to_key(id))
    .where("generation", "=", generation)
    .where("position", "<", message_count)
    .orderBy("position")
    .execute();
  return rows.map(({ body }) => body);
}

interface SessionHead {
  metadata: string;
  updated_at: string;
  revision: string;
  draft: string | null;
}

function session_of(id: string, head: SessionHead, bodies: readonly string[]): StoredSession {
  const session = read_row(id, { ...head, messages: `[${bodies.join()}]` });
  if (session.messages.length !== bodies.length) {
    throw damaged(id, "a message is more or less than one");
  }
  const draft = head.draft === null ? undefined : read_draft(id, head.draft, session.messages);
  return { ...session, revision: head.revision, ...(draft && { draft }) };
}

function read_draft(id: string, text: string, messages: readonly Message[]): SessionDraft | undefined {
  let draft: SessionDraft;
  try {
    draft = JSON.parse(text) as SessionDraft;
    return holds_prompt(messages, draft) ? undefined : draft;
  } catch (error) {
    throw damaged(id, "its draft cannot be read", error);
  }
}

function damaged(session_id: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `session ${session_id} is damaged: ${reason}`, {
    session_id,
    ...(cause !== undefined && { cause }),
  });
}
