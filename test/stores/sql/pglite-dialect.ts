import type { PGlite } from "@electric-sql/pglite";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from "kysely";

/** Kysely over PostgreSQL in this process. There is one connection, which transactions take in turn. */
export function pglite_dialect(pglite: PGlite): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => driver_of(connection_of(pglite)),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

function connection_of(pglite: PGlite): DatabaseConnection {
  return {
    executeQuery: async <R>({ sql, parameters }: CompiledQuery) => {
      const { rows, affectedRows: affected } = await pglite.query<R>(sql, [...parameters]);
      return { rows, ...(affected !== undefined && { numAffectedRows: BigInt(affected) }) };
    },
    streamQuery: () => {
      throw new Error("nothing is streamed here");
    },
  };
}

function driver_of(connection: DatabaseConnection): Driver {
  let free = Promise.resolve();
  let release = () => {};
  const run = (text: string) => async () => void (await connection.executeQuery(CompiledQuery.raw(text)));
  return {
    init: async () => {},
    acquireConnection: async () => {
      const before = free;
      let end = () => {};
      free = new Promise((resolve) => (end = resolve));
      await before;
      release = end;
      return connection;
    },
    beginTransaction: run("begin"),
    commitTransaction: run("commit"),
    rollbackTransaction: run("rollback"),
    releaseConnection: async () => release(),
    destroy: async () => {},
  };
}
