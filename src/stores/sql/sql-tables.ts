import { MysqlAdapter, PostgresAdapter, SqliteAdapter, type Kysely } from "kysely";
import { invalid_input } from "../../errors.js";

/** A family of databases: what they share decides how tables are made. */
export type SqlDialect = "postgres" | "mysql" | "sqlite";

export interface SqlSessionStoreOptions {
  /** What the names of all tables begin with: letters, digits and `_`, at most 30. Default: `simulacra_`. */
  table_prefix?: string;
  /** The schema of the tables, which must be there; of MySQL a database. Default: the connection's own. */
  schema?: string;
  /** Needed only where the Kysely dialect does not tell: CockroachDB and its like are `postgres`, MariaDB is `mysql`. */
  dialect?: SqlDialect;
}

/** The tables, by the names that the queries here use; in the database they have the prefix. */
export interface SqlTables {
  sessions: {
    /** The id as {@link to_key} writes it; so are `updated_at` and `parent_key`. */
    session_key: string;
    id: string;
    updated_at: string;
    parent_key: string | null;
    kind: string | null;
    /** JSON. */
    metadata: string;
    message_count: number;
    /** Moves with the messages. */
    revision: string;
    /** Moves with every change: who finds another one has to begin anew. */
    version: string;
    /** Moves when messages are replaced, so that a reader never takes those of another history. */
    generation: string;
    /** Counted up to lock the row: `SELECT … FOR UPDATE` is not known everywhere. */
    locks: number;
  };
  messages: { session_key: string; position: number; generation: string; body: string };
  /** `prompt_id` is JSON. */
  drafts: { session_key: string; prompt_id: string | null; body: string };
  migrations: { version: number; name: string; applied_at: string; locks: number };
}

/** The names that the tables have in the database, typed as those that the queries use. */
export type SqlTableNames = { readonly [K in keyof SqlTables]: K };

export interface SqlDatabase {
  /** Without the plugins of the application, which may change names and values. */
  readonly db: Kysely<SqlTables>;
  readonly names: SqlTableNames;
  readonly schema: string | undefined;
  readonly dialect: SqlDialect;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const DIALECTS: readonly unknown[] = ["postgres", "mysql", "sqlite"] satisfies SqlDialect[];

/** @throws {SessionError} `invalid_input`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever tables the application has itself
export function open_database(kysely: Kysely<any>, options: SqlSessionStoreOptions = {}): SqlDatabase {
  const { table_prefix = "simulacra_", schema, dialect = dialect_of(kysely) } = options;
  if (kysely.isTransaction) {
    throw invalid_input("a store makes transactions of its own, and cannot run inside of one");
  }
  if (table_prefix !== "") {
    check_identifier("table_prefix", table_prefix, 30);
  }
  if (schema !== undefined) {
    check_identifier("schema", schema, 63);
  }
  if (!DIALECTS.includes(dialect)) {
    throw invalid_input(`dialect is one of ${DIALECTS.join(", ")}, not ${String(dialect)}`);
  }
  const name = <K extends keyof SqlTables>(table: K): K => `${table_prefix}${table}` as K;
  const plain = kysely.withoutPlugins() as Kysely<SqlTables>;
  return {
    db: schema === undefined ? plain : plain.withSchema(schema),
    names: {
      sessions: name("sessions"),
      messages: name("messages"),
      drafts: name("drafts"),
      migrations: name("migrations"),
    },
    schema,
    dialect,
  };
}

function check_identifier(option: string, value: unknown, most: number): void {
  if (typeof value !== "string" || !IDENTIFIER.test(value) || value.length > most) {
    throw invalid_input(`${option} has letters, digits and _ only, at most ${most}`);
  }
}

/** By the class of the adapter; where another copy of Kysely made it, by what it can do. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever tables the application has itself
function dialect_of(kysely: Kysely<any>): SqlDialect {
  const { adapter } = kysely.getExecutor();
  if (adapter instanceof PostgresAdapter) {
    return "postgres";
  }
  if (adapter instanceof MysqlAdapter) {
    return "mysql";
  }
  if (adapter instanceof SqliteAdapter) {
    return "sqlite";
  }
  if (adapter.supportsOutput === true) {
    throw invalid_input("SQL Server is not supported");
  }
  if (!adapter.supportsReturning) {
    return "mysql";
  }
  return adapter.supportsTransactionalDdl ? "postgres" : "sqlite";
}
