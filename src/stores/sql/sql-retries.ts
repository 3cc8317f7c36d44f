import type { Kysely, Transaction } from "kysely";
import { sleep } from "../../async/timers.js";
import type { SqlTables } from "./sql-tables.js";

/** Another writer came between what was read and what was to be written: read again. */
export class RowMoved extends Error {
  override readonly name = "RowMoved";

  constructor() {
    super("the row was changed by another writer, again and again");
  }
}

/** Codes of PostgreSQL, and numbers of MySQL and MariaDB. */
const CONFLICTS: readonly unknown[] = [
  "40001", // serialization_failure
  "40P01", // deadlock_detected
  "55P03", // lock_not_available
  1205, // ER_LOCK_WAIT_TIMEOUT
  1213, // ER_LOCK_DEADLOCK
  1020, // ER_CHECKREAD: MariaDB's snapshot isolation
];
const DUPLICATES: readonly unknown[] = ["23505", 1062];
const MISSING_TABLES: readonly unknown[] = ["42P01", "3F000", 1146];
const FULL_SERVERS: readonly unknown[] = ["53300", 1040, 1203, 1226];
/** What PostgreSQL says where `IF NOT EXISTS` meets another transaction that creates the same. */
const CREATION_RACES: readonly unknown[] = ["23505", "42P07", "42710", "XX000", 1050];

interface DatabaseError {
  code?: unknown;
  errno?: unknown;
  message?: unknown;
}

function matches(error: unknown, known: readonly unknown[], sqlite?: RegExp): boolean {
  const { code, errno } = (error ?? {}) as DatabaseError;
  return known.includes(code) || known.includes(errno) || (typeof code === "string" && sqlite?.test(code) === true);
}

/** Whether nothing was written, and the same may succeed when it is tried again. */
export function is_passing(error: unknown): boolean {
  return error instanceof RowMoved || matches(error, CONFLICTS, /^SQLITE_(BUSY|LOCKED)/);
}

export function is_duplicate(error: unknown): boolean {
  return matches(error, DUPLICATES, /^SQLITE_CONSTRAINT/);
}

export function is_missing_table(error: unknown): boolean {
  return matches(error, MISSING_TABLES) || /^(\w+: )*no such table/i.test(String((error as DatabaseError).message));
}

/** While many processes start at once: the server takes no more connections, or they create the same table. */
export function is_passing_at_start(error: unknown): boolean {
  return is_passing(error) || matches(error, FULL_SERVERS);
}

export function is_creation_race(error: unknown): boolean {
  return is_passing_at_start(error) || matches(error, CREATION_RACES, /^SQLITE_CONSTRAINT/);
}

/** Tries again what failed for a passing reason, at random intervals that grow up to `longest_ms`. */
export async function with_retries<T>(
  task: (attempt: number) => Promise<T>,
  { passing = is_passing, attempts = 40, longest_ms = 200 } = {},
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await task(attempt);
    } catch (error) {
      if (!passing(error) || attempt + 1 >= attempts) {
        throw error;
      }
    }
    await sleep(Math.random() * Math.min(longest_ms, 4 * 2 ** attempt));
  }
}

/** A transaction whose error is what went wrong first: over a broken connection the rollback fails as well. */
export async function in_transaction<T>(
  db: Kysely<SqlTables>,
  task: (transaction: Transaction<SqlTables>) => Promise<T>,
): Promise<T> {
  let first: { error: unknown } | undefined;
  try {
    return await db.transaction().execute(async (transaction) => {
      try {
        return await task(transaction);
      } catch (error) {
        first = { error };
        throw error;
      }
    });
  } catch (error) {
    throw first ? first.error : error;
  }
}
