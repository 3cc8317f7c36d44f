import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Kysely, sql, SqliteDialect, type SqliteDatabase } from "kysely";
import Libsql from "libsql";
import { afterAll, afterEach, beforeAll, describe } from "vitest";
import { SqlSessionStore, type SqlSessionStoreOptions } from "../../../src/stores/sql/index.js";
import { is_there } from "../../support/servers.js";
import { memory_place, new_directory } from "../../support/temporary-directory.js";
import { connect_mariadb } from "./mariadb.js";
import { pglite_dialect } from "./pglite-dialect.js";
import { connect_postgres } from "./postgres.js";

export type Database = Kysely<unknown>;

/** A place of one's own in a database, gone when it is closed. */
export interface Place {
  /** A pool of its own each time, closed with the place; `isolation` is that of its transactions. */
  connect: (isolation?: string) => Database;
  /** Where the tables are, if not where the connection looks for them. */
  options: SqlSessionStoreOptions;
  close(): Promise<void>;
}

export interface TestDatabase {
  name: string;
  /** Of a server: whether it answers. */
  reached: boolean;
  /** Several connections may work at once. */
  is_server: boolean;
  open(): Promise<Place>;
}

/**
 * libsql leaves a statement open that found the database busy, and with it a lock that nobody gives back. So what may
 * find it busy, the beginning of a transaction, is run in the way that closes its statements.
 */
const STEPS: { [text: string]: string } = { begin: "begin immediate", commit: "commit", rollback: "rollback" };

export function connect_sqlite(path: string): Database {
  const database = new Libsql(path, { timeout: 20 }) as unknown as SqliteDatabase & { exec(text: string): void };
  database.exec("pragma journal_mode = wal; pragma synchronous = off");
  const prepare = (text: string): ReturnType<SqliteDatabase["prepare"]> => {
    const step = STEPS[text];
    if (step === undefined) {
      return database.prepare(text);
    }
    const run = () => {
      database.exec(step);
      return { changes: 0, lastInsertRowid: 0 };
    };
    return { reader: false, all: () => [], run, iterate: () => [][Symbol.iterator]() };
  };
  return new Kysely({ dialect: new SqliteDialect({ database: { prepare, close: () => database.close() } }) });
}

/** `SQL_STORE_TESTS=full`: everything in every database, with a hundred processes and 100,000 sessions. */
export const IS_FULL = process.env["SQL_STORE_TESTS"] === "full";

let places = 0;

export function new_name(): string {
  places += 1;
  return `sql_store_${process.pid}_${Date.now().toString(36)}_${places}`;
}

/** Closes what a place has handed out, and then what it was made of. */
function place(
  connect: (isolation?: string) => Database,
  options: SqlSessionStoreOptions,
  remove: () => Promise<unknown>,
): Place {
  const opened: Database[] = [];
  return {
    options,
    connect: (isolation) => {
      const db = connect(isolation);
      opened.push(db);
      return db;
    },
    close: async () => {
      await Promise.all(opened.map((db) => db.destroy()));
      await remove();
    },
  };
}

async function once(db: Database, statement: string): Promise<void> {
  try {
    await sql.raw(statement).execute(db);
  } finally {
    await db.destroy();
  }
}

export const SQLITE: TestDatabase = {
  name: "SQLite",
  reached: true,
  is_server: false,
  open: async () => {
    const { path, remove } = new_directory(memory_place());
    return place(
      () => connect_sqlite(join(path, "sessions.db")),
      {},
      async () => remove(),
    );
  },
};

/** It takes a second to start, so there is one for all, which ends with the process. */
let pglite: Promise<PGlite> | undefined;

export const PGLITE: TestDatabase = {
  name: "PGlite",
  reached: true,
  is_server: false,
  open: async () => {
    pglite ??= PGlite.create();
    const dialect = pglite_dialect(await pglite);
    const db = new Kysely<unknown>({ dialect });
    const schema = new_name();
    await sql`create schema ${sql.id(schema)}`.execute(db);
    return place(
      () => db,
      { schema },
      () => once(new Kysely<unknown>({ dialect }), `drop schema ${schema} cascade`),
    );
  },
};

export const POSTGRESQL: TestDatabase = {
  name: "PostgreSQL",
  reached: is_there("PostgreSQL"),
  is_server: true,
  open: async () => {
    const schema = new_name();
    await once(connect_postgres(), `create schema ${schema}`);
    const connect = (isolation?: string) =>
      connect_postgres(isolation ? { settings: { default_transaction_isolation: isolation.replace(" ", "\\ ") } } : {});
    return place(connect, { schema }, () => once(connect_postgres(), `drop schema ${schema} cascade`));
  },
};

export const MARIA: TestDatabase = {
  name: "MariaDB",
  reached: is_there("MariaDB"),
  is_server: true,
  open: async () => {
    const database = new_name();
    await once(connect_mariadb(), `create database ${database}`);
    return place(
      (isolation) => connect_mariadb(database, isolation && `transaction isolation level ${isolation}`),
      {},
      () => once(connect_mariadb(), `drop database ${database}`),
    );
  },
};

export const DATABASES = [SQLITE, PGLITE, POSTGRESQL, MARIA];

/** Defines tests for every database, or for these; one that cannot be reached shows as skipped. */
export function each_database(define: (database: TestDatabase) => void, databases = DATABASES): void {
  for (const database of databases) {
    describe.skipIf(!database.reached)(`in ${database.name}`, () => define(database));
  }
}

/** A store with tables of its own, and the way to them past the store. */
export interface OpenTables {
  store: SqlSessionStore;
  /** Another instance over the same tables, with connections of its own where the database has more than one. */
  reopen: (isolation?: string) => SqlSessionStore;
  db: Database;
  /** The name of a table in SQL. */
  table: (name: "sessions" | "messages" | "drafts" | "migrations") => string;
}

async function make_tables(
  at: Place,
  db: Database,
  set: number,
  connected: (isolation: string | undefined) => Database,
): Promise<OpenTables> {
  const mine = { ...at.options, table_prefix: `set${set}_` };
  const store = new SqlSessionStore(db, mine);
  await store.migrate();
  const schema = at.options.schema === undefined ? "" : `${at.options.schema}.`;
  return {
    store,
    db,
    reopen: (isolation) => new SqlSessionStore(connected(isolation), mine),
    table: (name) => `${schema}set${set}_${name}`,
  };
}

/** Quicker than tables of their own for each test. */
async function empty(db: Database, tables: readonly OpenTables[]): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    for (const { table } of tables) {
      for (const name of ["sessions", "messages", "drafts"] as const) {
        await sql.raw(`delete from ${table(name)}`).execute(transaction);
      }
    }
  });
}

/** A pool of its own for each isolation, opened when it is asked for. */
function connections_of(at: () => Place): Map<string | undefined, Database> & { of: (i?: string) => Database } {
  const known = new Map<string | undefined, Database>();
  const of = (isolation?: string) => {
    const db = known.get(isolation) ?? at().connect(isolation);
    known.set(isolation, db);
    return db;
  };
  return Object.assign(known, { of });
}

/** Tables for any number of stores, made when they are needed, and used again when they are given back. */
export async function start_tables(database: TestDatabase) {
  const at = await database.open();
  const db = at.connect();
  const connections = connections_of(() => at);
  const free: OpenTables[] = [];
  let made = 0;
  const take = async (): Promise<OpenTables> => {
    made += 1;
    return free.pop() ?? make_tables(at, db, made, connections.of);
  };
  const give_back = async (...tables: OpenTables[]): Promise<void> => {
    await empty(db, tables);
    free.push(...tables);
  };
  return { take, give_back, close: () => at.close() };
}

/** Tables for so many stores a test, made once for a `describe` and emptied after each test. */
export function use_tables(database: TestDatabase, sets: number): { open: (this: void) => OpenTables } {
  let [at, used, here] = [undefined as Place | undefined, 0, undefined as Database | undefined];
  const connections = connections_of(() => at as Place);
  const all: OpenTables[] = [];
  beforeAll(async () => {
    at = await database.open();
    here = at.connect();
    for (let n = 0; n < sets; n += 1) {
      all.push(await make_tables(at, here, n, connections.of));
    }
  });
  afterAll(async () => {
    await at?.close();
    all.length = 0;
    connections.clear();
  });
  afterEach(async () => {
    const opened = all.slice(0, used);
    used = 0;
    await (here && empty(here, opened));
  });
  return {
    open: () => {
      const tables = all[used];
      used += 1;
      if (tables === undefined) {
        throw new Error(`a test has more than ${sets} stores`);
      }
      return tables;
    },
  };
}
