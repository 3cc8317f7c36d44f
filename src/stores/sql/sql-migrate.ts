import { sql, type Kysely } from "kysely";
import { SessionError } from "../../errors.js";
import { create_migrations_table, MIGRATIONS, type SqlMigration } from "./sql-schema.js";
import type { SqlDatabase, SqlTables } from "./sql-tables.js";
import {
  in_transaction,
  is_creation_race,
  is_missing_table,
  is_passing_at_start,
  with_retries,
} from "./sql-retries.js";

/** Seconds to wait for another process that migrates. */
const PATIENCE = 60;

/** @throws {SessionError} `storage` where the tables are not those that this code works with. */
export async function check_version(database: SqlDatabase): Promise<void> {
  const version = await stored_version(database, database.db);
  refuse_newer(version ?? 0, MIGRATIONS);
  if (version === undefined || version < MIGRATIONS.length) {
    const what = version ? "are of an older version" : "are missing";
    throw new SessionError("storage", `the tables of the session store ${what}: call migrate() first`);
  }
}

/** Brings the tables up to date, once, however many processes try at the same time. */
export async function migrate(database: SqlDatabase, steps: readonly SqlMigration[] = MIGRATIONS): Promise<void> {
  const start = { passing: is_passing_at_start, attempts: 120, longest_ms: 1000 };
  const version = await with_retries(() => stored_version(database, database.db), start);
  refuse_newer(version ?? 0, steps);
  if (version === steps.length) {
    return; // nobody has to wait for a lock where there is nothing to do
  }
  await with_retries(() => prepare(database), { ...start, passing: is_creation_race });
  await with_retries(() => locked(database, (db) => run_steps(database, db, steps)), start);
}

/** `undefined`: there is no table of migrations. */
async function stored_version({ names }: SqlDatabase, db: Kysely<SqlTables>): Promise<number | undefined> {
  try {
    const row = await db
      .selectFrom(names.migrations)
      .select(({ fn }) => fn.max("version").as("version"))
      .executeTakeFirst();
    return Number(row?.version ?? 0);
  } catch (error) {
    if (is_missing_table(error)) {
      return undefined;
    }
    throw error;
  }
}

function refuse_newer(version: number, steps: readonly SqlMigration[]): void {
  if (version > steps.length) {
    const message = `the tables of the session store are of version ${version}, and this code knows ${steps.length}`;
    throw new SessionError("storage", `${message}: update the package`);
  }
}

/** The table of migrations, and in it the row of version 0, which is there to be locked. */
async function prepare(database: SqlDatabase): Promise<void> {
  const { db, names, dialect } = database;
  for (const statement of create_migrations_table(database)) {
    await statement.execute(db);
  }
  if (dialect !== "mysql") {
    const lock = { version: 0, name: "lock", applied_at: new Date().toISOString(), locks: 0 };
    await db
      .insertInto(names.migrations)
      .values(lock)
      .onConflict((conflict) => conflict.column("version").doNothing())
      .execute();
  }
}

/**
 * PostgreSQL and SQLite hold the row of version 0 and change everything in one transaction. MySQL commits at every
 * change of a table, so there a lock of the connection is held; it goes with the connection if the process dies.
 */
async function locked(database: SqlDatabase, task: (db: Kysely<SqlTables>) => Promise<void>): Promise<void> {
  const { db, names, dialect, schema } = database;
  if (dialect !== "mysql") {
    return in_transaction(db, async (transaction) => {
      await transaction
        .updateTable(names.migrations)
        .set((row) => ({ locks: row("locks", "+", 1) }))
        .where("version", "=", 0)
        .execute();
      await task(transaction);
    });
  }
  const lock = `${schema === undefined ? "" : `${schema.slice(0, 20)}.`}${names.migrations}`;
  return db.connection().execute(async (connection) => {
    const { rows } = await sql<{ got: unknown }>`select get_lock(${lock}, ${PATIENCE}) as got`.execute(connection);
    if (Number(rows[0]?.got) !== 1) {
      throw new SessionError("storage", `another process has been migrating for ${PATIENCE} seconds`);
    }
    try {
      await task(connection);
    } finally {
      // Not done over a broken connection, with which the lock is gone; the error to report is the task's then.
      await sql`select release_lock(${lock})`.execute(connection).catch(() => undefined);
    }
  });
}

async function run_steps(database: SqlDatabase, db: Kysely<SqlTables>, steps: readonly SqlMigration[]): Promise<void> {
  const version = (await stored_version(database, db)) ?? 0;
  refuse_newer(version, steps);
  for (const [n, step] of steps.entries()) {
    if (n >= version) {
      for (const statement of step.statements(database)) {
        await statement.execute(db);
      }
      const done = { version: n + 1, name: step.name, applied_at: new Date().toISOString(), locks: 0 };
      await db.insertInto(database.names.migrations).values(done).execute();
    }
  }
}
