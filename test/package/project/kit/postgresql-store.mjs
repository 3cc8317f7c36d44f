import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";
import { SqlSessionStore } from "@simulacra-ai/session/sql";

const databases = new WeakMap();

function connect() {
  const pool = new pg.Pool({ connectionString: "postgres://root@127.0.0.1:5432/test", max: 8 });
  pool.on("error", (error) => console.error(error));
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

export async function open(schema) {
  const db = connect();
  const store = new SqlSessionStore(db, { schema, table_prefix: "" });
  databases.set(store, db);
  return store;
}

export const close = (store) => databases.get(store).destroy();

let is_made = false;

/** Makes the tables once: a quick beginning of each case. */
export async function empty(schema) {
  const db = connect();
  if (!is_made) {
    await sql`create schema ${sql.id(schema)}`.execute(db);
    await new SqlSessionStore(db, { schema, table_prefix: "" }).migrate();
    is_made = true;
  }
  for (const table of ["sessions", "messages", "drafts"]) {
    await sql`delete from ${sql.id(schema, table)}`.execute(db);
  }
  await db.destroy();
}

export async function remove(schema) {
  const db = connect();
  await sql`drop schema if exists ${sql.id(schema)} cascade`.execute(db);
  await db.destroy();
}
