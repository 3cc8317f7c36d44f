import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "@simulacra-ai/session";
import type { Insertable, Kysely } from "kysely";
import type { ByHand, FilledSession } from "./backend.js";

/** The tables of a store, as an application sees them that writes its own queries. */
interface HandTables {
  sessions: {
    session_key: string;
    id: string;
    updated_at: string;
    parent_key: string | null;
    kind: string | null;
    metadata: string;
    message_count: number;
    revision: string;
    version: string;
    generation: string;
    locks: number;
  };
  messages: { session_key: string; position: number; generation: string; body: string };
}

const GENERATION = "generation";
/** SQLite takes no more than 32,766 parameters. */
const ROWS_PER_INSERT = 1_000;

/** Has the database count what is in a table, which a server does by itself some time after it was filled. */
export type Analyze = (table: string) => Promise<unknown>;

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- Kysely's own name for tables that are not known
export function tables_by_hand(kysely: Kysely<any>, prefix: string, analyze: Analyze) {
  const db = kysely as Kysely<HandTables>;
  const sessions = `${prefix}sessions` as "sessions";
  const messages = `${prefix}messages` as "messages";
  return { by_hand: sql_by_hand(db, sessions, messages), fill: fill_with(db, sessions, messages, analyze) };
}

/**
 * Ids and dates stand for themselves here. Metadata are JSON, so an append has to read them; of drafts, of other writers
 * of the metadata, and of what may have gone wrong, nothing is known.
 */
function sql_by_hand(db: Kysely<HandTables>, sessions: "sessions", table: "messages"): ByHand {
  const revisions = new Map<string, number>();
  return {
    create: async (id) => {
      const date = new Date().toISOString();
      const metadata: SessionMetadata = { id, created_at: date, updated_at: date, kind: "root", message_count: 0 };
      await db.insertInto(sessions).values(session_row(metadata, "0")).execute();
      revisions.set(id, 0);
    },
    append: async (id, messages) => {
      const expected = revisions.get(id) ?? 0;
      const stored = await db
        .selectFrom(sessions)
        .select(["metadata", "message_count"])
        .where("session_key", "=", id)
        .executeTakeFirstOrThrow();
      const updated_at = new Date().toISOString();
      const message_count = stored.message_count + messages.length;
      const old = JSON.parse(stored.metadata) as SessionMetadata;
      const metadata = JSON.stringify({ ...old, updated_at, message_count });
      const rows = messages.map((message, n) => ({
        session_key: id,
        position: stored.message_count + n,
        generation: GENERATION,
        body: JSON.stringify(message),
      }));
      await db.transaction().execute(async (transaction) => {
        const { numUpdatedRows: found } = await transaction
          .updateTable(sessions)
          .set({ metadata, updated_at, message_count, revision: String(expected + 1) })
          .where("session_key", "=", id)
          .where("revision", "=", String(expected))
          .executeTakeFirst();
        if (found !== 1n) {
          throw new Error(`session ${id} was changed by another writer`);
        }
        await transaction.insertInto(table).values(rows).execute();
      });
      revisions.set(id, expected + 1);
    },
    load: async (id) => {
      const session = await db
        .selectFrom(sessions)
        .select("metadata")
        .where("session_key", "=", id)
        .executeTakeFirstOrThrow();
      const rows = await db
        .selectFrom(table)
        .select("body")
        .where("session_key", "=", id)
        .orderBy("position")
        .execute();
      return {
        metadata: JSON.parse(session.metadata) as SessionMetadata,
        messages: rows.map(({ body }) => JSON.parse(body) as Message),
      };
    },
    list: async (limit) => {
      const rows = await db
        .selectFrom(sessions)
        .select("metadata")
        .orderBy("updated_at", "desc")
        .orderBy("session_key")
        .limit(limit)
        .execute();
      return rows.map(({ metadata }) => JSON.parse(metadata) as SessionMetadata);
    },
  };
}

function fill_with(db: Kysely<HandTables>, sessions: "sessions", table: "messages", analyze: Analyze) {
  return async (filled: readonly FilledSession[]) => {
    const session_rows = filled.map(({ metadata }, n) => session_row(metadata, `revision ${n}`));
    const message_rows = filled.flatMap(({ metadata, messages }) =>
      messages.map((body, position) => ({ session_key: metadata.id, position, generation: GENERATION, body })),
    );
    await db.transaction().execute(async (transaction) => {
      for (const rows of portions_of(session_rows)) {
        await transaction.insertInto(sessions).values(rows).execute();
      }
      for (const rows of portions_of(message_rows)) {
        await transaction.insertInto(table).values(rows).execute();
      }
    });
    await analyze(sessions);
    await analyze(table);
  };
}

function session_row(metadata: SessionMetadata, revision: string): Insertable<HandTables["sessions"]> {
  const { id, updated_at, kind = "root", message_count } = metadata;
  return {
    session_key: id,
    id,
    updated_at,
    parent_key: null,
    kind,
    metadata: JSON.stringify(metadata),
    message_count,
    revision,
    version: "version",
    generation: GENERATION,
    locks: 0,
  };
}

function portions_of<Row>(rows: readonly Row[]): Row[][] {
  const count = Math.ceil(rows.length / ROWS_PER_INSERT);
  return Array.from({ length: count }, (_, n) => rows.slice(n * ROWS_PER_INSERT, (n + 1) * ROWS_PER_INSERT));
}
