import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { SqlSessionStore } from "@simulacra-ai/session/sql";
import { Kysely, MysqlDialect, PostgresDialect, sql, SqliteDialect, type SqliteDatabase } from "kysely";
import Libsql from "libsql";
import mysql from "mysql2";
import pg from "pg";
import { pglite_dialect } from "../../test/stores/sql/pglite-dialect.js";
import { new_name } from "./names.js";
import { tables_by_hand } from "./sql-by-hand.js";
import type { Address, Backend, Place } from "./backend.js";

type Database = Kysely<unknown>;

/*
 * Where a commit need not wait for the disk, it does not: the wait is the same for all who write, and would hide what a
 * store adds to it.
 */

export function connect_postgres(): Database {
  const pool = new pg.Pool({
    host: "127.0.0.1",
    user: "postgres",
    database: "test",
    max: 4,
    connectionTimeoutMillis: 5000,
    options: "-c synchronous_commit=off",
  });
  pool.on("error", () => undefined); // the next query fails as well
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

function connect_mariadb(database = "test"): Database {
  const pool = mysql.createPool({
    host: "127.0.0.1",
    user: "root",
    database,
    connectTimeout: 5000,
    connectionLimit: 4,
  });
  return new Kysely({ dialect: new MysqlDialect({ pool }) });
}

function connect_sqlite(path: string): Database {
  const database = new Libsql(path) as unknown as SqliteDatabase & { exec(text: string): void };
  database.exec("pragma journal_mode = wal; pragma synchronous = off");
  return new Kysely({ dialect: new SqliteDialect({ database }) });
}

async function once(db: Database, statement: string): Promise<void> {
  try {
    await sql.raw(statement).execute(db);
  } finally {
    await db.destroy();
  }
}

interface PlaceOptions {
  schema?: string;
  address?: (name: string) => Address;
  analyze_command?: string;
}

function place(
  db: Database,
  remove: () => Promise<unknown>,
  { schema, address, analyze_command = "analyze" }: PlaceOptions = {},
): Place {
  const id_of = (table: string) => (schema === undefined ? sql.id(table) : sql.id(schema, table));
  return {
    tables: async (name) => {
      const table_prefix = `${name}_`;
      const analyze = (table: string) => sql`${sql.raw(analyze_command)} ${id_of(table)}`.execute(db);
      const store = new SqlSessionStore(db, { table_prefix, ...(schema !== undefined && { schema }) });
      await store.migrate();
      return { store, ...tables_by_hand(schema === undefined ? db : db.withSchema(schema), table_prefix, analyze) };
    },
    address: (name) => address?.(name),
    close: async () => {
      await db.destroy();
      await remove();
    },
  };
}

const SQLITE: Backend = {
  name: "SQLite",
  reach: async () => {},
  open: async () => {
    const directory = mkdtempSync(join(tmpdir(), "simulacra-session-bench-"));
    const remove = async () => rmSync(directory, { recursive: true });
    return place(connect_sqlite(join(directory, "sessions.db")), remove);
  },
};

const PGLITE: Backend = {
  name: "PGlite",
  reach: async () => {},
  open: async () => {
    const pglite = await PGlite.create();
    return place(new Kysely({ dialect: pglite_dialect(pglite) }), () => pglite.close());
  },
};

const POSTGRESQL: Backend = {
  name: "PostgreSQL",
  reach: () => once(connect_postgres(), "select 1"),
  open: async () => {
    const schema = new_name();
    await once(connect_postgres(), `create schema ${schema}`);
    const remove = () => once(connect_postgres(), `drop schema ${schema} cascade`);
    return place(connect_postgres(), remove, { schema, address: (name) => ({ kind: "postgres", schema, name }) });
  },
};

const MARIADB: Backend = {
  name: "MariaDB",
  reach: () => once(connect_mariadb(), "select 1"),
  open: async () => {
    const database = new_name();
    await once(connect_mariadb(), `create database ${database}`);
    const remove = () => once(connect_mariadb(), `drop database ${database}`);
    return place(connect_mariadb(database), remove, { analyze_command: "analyze table" });
  },
};

export const SQL_BACKENDS: readonly Backend[] = [SQLITE, PGLITE, POSTGRESQL, MARIADB];
