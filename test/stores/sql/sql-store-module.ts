import type { Kysely } from "kysely";
import { SqlSessionStore } from "../../../src/stores/sql/index.js";
import { connect_mariadb } from "./mariadb.js";
import { connect_postgres } from "./postgres.js";

/** Where the tables are for processes that are killed; they are there already, and whoever runs the test removes them. */
export interface KilledTables {
  server: string;
  schema: string;
  table_prefix: string;
}

const databases = new WeakMap<SqlSessionStore, Kysely<unknown>>();

/** All places are one: the environment says which. */
export async function open(): Promise<SqlSessionStore> {
  const { server, ...options } = JSON.parse(process.env["SQL_TEST_TABLES"] ?? "") as KilledTables;
  const db = server === "PostgreSQL" ? connect_postgres() : connect_mariadb();
  const store = new SqlSessionStore(db, options);
  databases.set(store, db);
  return store;
}

export async function close(store: SqlSessionStore): Promise<void> {
  await databases.get(store)?.destroy();
}
