import type { Message } from "@simulacra-ai/core";
import { holds_prompt } from "../../draft.js";
import { SessionError } from "../../errors.js";
import { require_query } from "../../metadata.js";
import type { SessionDraft, SessionKind, SessionMetadata, SessionQuery, StoredSession } from "../../types.js";
import { damaged, parse_messages, parse_object, read_entry, read_metadata } from "../session-rows.js";
import { from_key, to_key } from "./sql-keys.js";
import { read_count } from "./sql-rows.js";
import { select_bodies, select_columns, select_entries, select_head } from "./sql-queries.js";
import type { SqlDatabase } from "./sql-tables.js";

/** How often a session may be replaced by another writer while it is being read. */
const ATTEMPTS = 100;
/** The date of a row that has none. */
const NO_DATE = new Date(0).toISOString();

/** One page of the list, in the order of the index; no message is read. */
export async function list_sessions(database: SqlDatabase, query?: SessionQuery | null): Promise<SessionMetadata[]> {
  require_query(query);
  const { limit, before, parent_id, kinds } = query ?? {};
  if (limit === 0 || kinds?.length === 0) {
    return [];
  }
  const wanted = kinds && [...new Set<string>(kinds)];
  const { rows } = await select_entries(database, {
    ...(parent_id !== undefined && { parent: to_key(parent_id) }),
    ...(wanted && { kinds: wanted }),
    ...(before !== undefined && { before: { date: to_key(before.updated_at), key: to_key(before.id) } }),
    ...(limit !== undefined && { limit: Math.min(limit, Number.MAX_SAFE_INTEGER) }),
  });
  return Promise.all(
    rows.map(async (row) => {
      const entry = read_entry(row);
      const is_odd = entry.damaged !== undefined || entry.updated_at === NO_DATE;
      return is_odd ? odd_entry(database, row) : entry;
    }),
  );
}

/** What the columns say of a session whose metadata do not: they are read of no other. */
async function odd_entry(database: SqlDatabase, row: { id: string; metadata: string }): Promise<SessionMetadata> {
  const [columns] = (await select_columns(database, database.db, { key: to_key(row.id) })).rows;
  const { updated_at, kind = null, parent_key = null } = columns ?? {};
  const lineage = {
    ...(kind !== null && { kind: kind as SessionKind }),
    ...(parent_key !== null && { parent_id: from_key(parent_key) }),
  };
  return read_entry({ ...row, updated_at, lineage });
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
    if (!row) {
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

async function read_head(database: SqlDatabase, id: string) {
  const [row] = (await select_head(database, database.db, { key: to_key(id) })).rows;
  return row && { ...row, message_count: read_count(id, row.message_count) };
}

async function read_bodies(
  database: SqlDatabase,
  id: string,
  { generation, message_count: end }: { generation: string; message_count: number },
): Promise<string[]> {
  if (end === 0) {
    return [];
  }
  const { rows } = await select_bodies(database, database.db, { key: to_key(id), generation, end });
  return rows.map(({ body }) => body);
}

interface SessionHead {
  metadata: string;
  updated_at: string;
  revision: string;
  draft: string | null;
}

function session_of(id: string, head: SessionHead, bodies: readonly string[]): StoredSession {
  const messages = parse_messages(id, bodies);
  const metadata = read_metadata(id, head, messages.length);
  const draft = head.draft === null ? undefined : read_draft(id, head.draft, messages);
  return { metadata, messages, revision: head.revision, ...(draft && { draft }) };
}

function read_draft(id: string, text: string, messages: readonly Message[]): SessionDraft | undefined {
  const draft = parse_object(id, "its draft", text) as SessionDraft;
  parse_object(id, "its draft's prompt", JSON.stringify(draft.prompt));
  return holds_prompt(messages, draft) ? undefined : draft;
}
