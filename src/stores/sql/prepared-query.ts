import type { Compilable, CompiledQuery, Kysely, QueryResult } from "kysely";
import type { SqlDatabase, SqlTables } from "./sql-tables.js";

/** Stands in a query for a value that is not known yet. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A query that is built once for each database; building one costs more than a database in the process takes to answer. */
export type PreparedQuery<Given, Row> = (
  database: SqlDatabase,
  db: Kysely<SqlTables>,
  given: Given,
) => Promise<QueryResult<Row>>;

/**
 * `build` is called once a database, with slots in the place of values: they may be compared and stored, and nothing in the
 * query may depend on what they are.
 */
export function prepare_query<Given extends object, Row>(
  build: (database: SqlDatabase, given: Given) => Compilable<Row>,
): PreparedQuery<Given, Row> {
  const built = new WeakMap<SqlDatabase, CompiledQuery<Row>>();
  return async (database, db, given) => {
    let query = built.get(database);
    if (!query) {
      query = build(database, SLOTS as Given).compile();
      built.set(database, query);
    }
    const values = new Map<string, unknown>(Object.entries(given));
    const parameters = query.parameters.map((value) => (value instanceof Slot ? values.get(value.name) : value));
    return db.executeQuery({ ...query, parameters });
  };
}

const SLOTS: object = new Proxy({}, { get: (_, name) => new Slot(String(name)) });
