import type { Kysely } from "kysely";
import { prompt_mark } from "../../draft.js";
import { invalid_input, SessionError } from "../../errors.js";
import { session_kind } from "../../metadata.js";
import { new_token } from "../../token.js";
import type { SessionKind, SessionMetadata } from "../../types.js";
import type { SessionChange, StoredHead } from "../session-decisions.js";
import { damaged, read_metadata } from "../session-rows.js";
import { has_key_length, MAX_DATE_LENGTH, to_key } from "./sql-keys.js";
import {
  count_lock,
  insert_messages,
  select_bodies,
  select_state,
  update_row,
  update_row_and_draft,
} from "./sql-queries.js";
import { is_duplicate, RowMoved } from "./sql-retries.js";
import type { SqlDatabase, SqlTables } from "./sql-tables.js";

/** What the row of a session says. */
export interface SessionState extends StoredHead {
  version: string;
  generation: string;
  /** Moves with every draft. */
  locks: number;
  /** The prompt of its draft. */
  prompt_id: string | null;
}

const KINDS: readonly unknown[] = ["root", "fork", "child", "checkpoint"] satisfies SessionKind[];

/** As few as every version of SQLite takes parameters for, at four a row. */
const ROWS_PER_INSERT = 200;
/** MySQL limits how long a statement may be (`max_allowed_packet`). */
const TEXT_PER_INSERT = 1 << 19;

/** The columns of a session's row that its metadata decide. @throws {SessionError} `invalid_id`, `invalid_input`. */
export function columns_of(metadata: SessionMetadata) {
  const { id: session_id, updated_at, message_count } = metadata;
  const parent_id: unknown = metadata.parent_id;
  if (typeof parent_id === "string" && !has_key_length(parent_id)) {
    throw new SessionError("invalid_id", "the parent_id is longer than an id may be", { session_id });
  }
  if (updated_at.length > MAX_DATE_LENGTH) {
    const message = `metadata.updated_at is at most ${MAX_DATE_LENGTH} characters long`;
    throw invalid_input(message, { session_id });
  }
  const kind: unknown = session_kind(metadata);
  return {
    updated_at: to_key(updated_at),
    parent_key: typeof parent_id === "string" ? to_key(parent_id) : null,
    kind: KINDS.includes(kind) ? (kind as SessionKind) : null,
    metadata: JSON.stringify(metadata),
    message_count,
  };
}

/** @throws {SessionError} `corrupt`: nothing is merged into what cannot be read. */
export async function read_state(
  database: SqlDatabase,
  db: Kysely<SqlTables>,
  id: string,
): Promise<SessionState | undefined> {
  const [row] = (await select_state(database, db, { key: to_key(id) })).rows;
  if (!row) {
    return undefined;
  }
  const message_count = read_count(id, row.message_count);
  return { ...row, message_count, metadata: read_metadata(id, row, message_count) };
}

/** Drivers return whole numbers as they are told to. @throws {SessionError} `corrupt`. */
export function read_count(id: string, column: unknown): number {
  const count = Number(column);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw damaged(id, "the number of its messages is none");
  }
  return count;
}

/** Makes every other writer of the session wait. Returns whether there is one. */
export async function lock_session(database: SqlDatabase, db: Kysely<SqlTables>, id: string): Promise<boolean> {
  const { numAffectedRows: found = 0n } = await count_lock(database, db, { key: to_key(id) });
  return found > 0n;
}

/**
 * Writes what became of a session, if its row, and with messages its draft, is as it was read; to be called in a
 * transaction. The session's row comes first, always: it is the lock for all that belongs to the session.
 * @throws {RowMoved}
 */
export async function write_session(
  database: SqlDatabase,
  db: Kysely<SqlTables>,
  stored: SessionState | undefined,
  { metadata, revision, messages }: SessionChange,
): Promise<void> {
  const { messages: table, drafts } = database.names;
  const { id } = metadata;
  const session_key = to_key(id);
  const replaces = messages?.kept === 0;
  const generation = !stored || replaces ? new_token() : stored.generation;
  const row = { ...columns_of(metadata), revision, generation, version: new_token() };
  if (!stored) {
    if (!(await insert_new(database, db, { ...row, session_key, id, locks: 0 }))) {
      throw new RowMoved();
    }
  } else {
    const given = { ...row, key: session_key, found: stored.version };
    // A draft of which nothing was read might be void.
    const { numAffectedRows: found = 0n } = await (messages
      ? update_row_and_draft(database, db, { ...given, locks: stored.locks })
      : update_row(database, db, given));
    if (found === 0n) {
      throw new RowMoved();
    }
  }
  if (!messages) {
    return;
  }
  const prompt_id = stored?.prompt_id ?? undefined;
  let is_void = prompt_id !== undefined && messages.ids.has(prompt_id);
  if (replaces) {
    is_void ||= prompt_id !== undefined && stored !== undefined && (await held_prompt(database, db, stored, prompt_id));
    await db.deleteFrom(table).where("session_key", "=", session_key).execute();
  }
  let position = messages.kept;
  for (const texts of chunks_of(messages.texts)) {
    await insert_messages(database, db, { key: session_key, generation, position, texts });
    position += texts.length;
  }
  if (is_void) {
    await db.deleteFrom(drafts).where("session_key", "=", session_key).execute();
  }
}

/** Whether one of the messages that were stored is the prompt of the draft: it does not come back without it. */
async function held_prompt(
  database: SqlDatabase,
  db: Kysely<SqlTables>,
  { metadata, message_count: end, generation }: SessionState,
  prompt_id: string,
): Promise<boolean> {
  const { rows } = await select_bodies(database, db, { key: to_key(metadata.id), generation, end });
  return rows.some(({ body }) => body.includes(prompt_id) && prompt_mark(message_in(body)) === prompt_id);
}

/** A row that is damaged is no prompt. */
function message_in(body: string): { id?: unknown } {
  try {
    return (JSON.parse(body) as object | null) ?? {};
  } catch {
    return {};
  }
}

/** Returns whether it did: there may be a session by now. */
async function insert_new(
  { names, dialect }: SqlDatabase,
  db: Kysely<SqlTables>,
  row: SqlTables["sessions"],
): Promise<boolean> {
  const insert = db.insertInto(names.sessions).values(row);
  if (dialect === "mysql") {
    // IGNORE would let pass more than duplicates there.
    return insert.execute().then(
      () => true,
      (error: unknown) => {
        if (is_duplicate(error)) {
          return false;
        }
        throw error;
      },
    );
  }
  const { numInsertedOrUpdatedRows: inserted } = await insert
    .onConflict((conflict) => conflict.column("session_key").doNothing())
    .executeTakeFirst();
  return inserted !== undefined && inserted > 0n;
}

function* chunks_of(texts: readonly string[]): Generator<readonly string[]> {
  let begin = 0;
  let length = 0;
  for (const [n, text] of texts.entries()) {
    if (n > begin && (n - begin === ROWS_PER_INSERT || length + text.length > TEXT_PER_INSERT)) {
      yield texts.slice(begin, n);
      [begin, length] = [n, 0];
    }
    length += text.length;
  }
  if (begin < texts.length) {
    yield texts.slice(begin);
  }
}
