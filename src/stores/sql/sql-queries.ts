import { prepare_query } from "./prepared-query.js";
import type { SqlDatabase, SqlTables } from "./sql-tables.js";

interface OfSession {
  key: string;
}

/** The row of a session, and what its draft is of. */
export const select_state = prepare_query(({ db, names }, { key }: OfSession) =>
  db
    .selectFrom(`${names.sessions} as s`)
    .leftJoin(`${names.drafts} as d`, "d.session_key", "s.session_key")
    .select(["s.metadata", "s.updated_at", "s.message_count", "s.revision", "s.version", "s.generation", "s.locks"])
    .select("d.prompt_id")
    .where("s.session_key", "=", key),
);

/** What is read of a session beside its messages, with its draft. */
export const select_head = prepare_query(({ db, names }, { key }: OfSession) =>
  db
    .selectFrom(`${names.sessions} as s`)
    .leftJoin(`${names.drafts} as d`, "d.session_key", "s.session_key")
    .select(["s.metadata", "s.updated_at", "s.message_count", "s.revision", "s.generation", "d.body as draft"])
    .where("s.session_key", "=", key),
);

export const select_bodies = prepare_query(
  ({ db, names }, { key, generation, end }: OfSession & { generation: string; end: number }) =>
    db
      .selectFrom(names.messages)
      .select("body")
      .where("session_key", "=", key)
      .where("generation", "=", generation)
      .where("position", "<", end)
      .orderBy("position"),
);

export const count_lock = prepare_query(({ db, names }, { key }: OfSession) =>
  db
    .updateTable(names.sessions)
    .set((row) => ({ locks: row("locks", "+", 1) }))
    .where("session_key", "=", key),
);

/** What is said of a session beside its metadata. */
export const select_columns = prepare_query(({ db, names }, { key }: OfSession) =>
  db.selectFrom(names.sessions).select(["updated_at", "kind", "parent_key"]).where("session_key", "=", key),
);

type Row = Omit<SqlTables["sessions"], "session_key" | "id" | "locks">;

function update({ db, names }: SqlDatabase, given: Row & OfSession & { found: string }) {
  const { updated_at, parent_key, kind, metadata, message_count, revision, version, generation } = given;
  return db
    .updateTable(names.sessions)
    .set({ updated_at, parent_key, kind, metadata, message_count, revision, version, generation })
    .where("session_key", "=", given.key)
    .where("version", "=", given.found);
}

/** Writes a row if it still has the version `found`. */
export const update_row = prepare_query(update);

/** The same, if nothing has happened to the draft either. */
export const update_row_and_draft = prepare_query((database, given: Parameters<typeof update>[1] & { locks: number }) =>
  update(database, given).where("locks", "=", given.locks),
);

/** A session's key and its rows' generation; then of each row its position and its body. */
type MessageValues = readonly (string | number)[];

function insertion(count: number) {
  return prepare_query(({ db, names }, given: MessageValues) => {
    const [session_key, generation] = [given[0] as string, given[1] as string];
    const rows = Array.from({ length: count }, (_, n) => {
      const [position, body] = [given[2 * n + 2] as number, given[2 * n + 3] as string];
      return { session_key, position, generation, body };
    });
    return db.insertInto(names.messages).values(rows);
  });
}

/** As many rows as a turn usually has. */
const INSERTIONS = Array.from({ length: 16 }, (_, n) => insertion(n + 1));

export async function insert_messages(
  database: SqlDatabase,
  db: SqlDatabase["db"],
  { key, generation, position, texts }: OfSession & { generation: string; position: number; texts: readonly string[] },
): Promise<void> {
  const insert = INSERTIONS[texts.length - 1] ?? insertion(texts.length);
  await insert(database, db, [key, generation, ...texts.flatMap((text, n) => [position + n, text])]);
}

/** What a list is narrowed down to, each part if it is there. */
export interface ListSelection {
  parent?: string;
  kinds?: readonly string[];
  before?: { date: string; key: string };
  limit?: number;
}

type ListValues = Readonly<Record<string, string | number>>;

/** Entries in the order of the index. What they are narrowed down by decides the query, and how many kinds there are. */
function listing(shape: ListSelection) {
  return prepare_query(({ db, names }, given: ListValues) => {
    const text = (name: string) => given[name] as string;
    let rows = db
      .selectFrom(names.sessions)
      .select(["id", "metadata"])
      .orderBy("updated_at", "desc")
      .orderBy("session_key", "asc");
    if (shape.parent !== undefined) {
      rows = rows.where("parent_key", "=", text("parent"));
    }
    if (shape.kinds) {
      const kinds = shape.kinds.map((_, n) => text(`kind ${n}`));
      rows = kinds.length === 1 ? rows.where("kind", "=", text("kind 0")) : rows.where("kind", "in", kinds);
    }
    if (shape.before) {
      rows = rows
        .where("updated_at", "<=", text("date")) // says the same as the next, for the index
        .where((is) => is.or([is("updated_at", "<", text("date")), is("session_key", ">", text("key"))]));
    }
    return shape.limit === undefined ? rows : rows.limit(given["limit"] as number);
  });
}

/** One for each form of a list; there are no more kinds than a few. */
const LISTINGS = new Map<string, ReturnType<typeof listing>>();
const MOST_KINDS = 8;

export async function select_entries(database: SqlDatabase, selection: ListSelection) {
  const { parent, kinds, before, limit } = selection;
  const form = [parent !== undefined, kinds?.length ?? "", before !== undefined, limit !== undefined].join();
  const list = LISTINGS.get(form) ?? listing(selection);
  if ((kinds?.length ?? 0) <= MOST_KINDS) {
    LISTINGS.set(form, list);
  }
  const by_number = kinds?.map((kind, n): [string, string] => [`kind ${n}`, kind]) ?? [];
  return list(database, database.db, {
    ...(parent !== undefined && { parent }),
    ...Object.fromEntries(by_number),
    ...before,
    ...(limit !== undefined && { limit }),
  });
}
