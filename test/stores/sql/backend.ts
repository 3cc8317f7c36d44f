import { sql } from "kysely";
import { DATABASES, start_tables, type OpenTables, type TestDatabase } from "./databases.js";
import type { KilledTables } from "./sql-store-module.js";

/** Stores in one of the databases, over tables that are emptied when a store is closed. */
export async function start_sql(name: string) {
  const database = DATABASES.find((one) => one.name === name) as TestDatabase;
  const { take, give_back, close } = await start_tables(database);
  if (database.is_server) {
    process.env["SQL_TEST_TABLES"] = JSON.stringify(await address_of(name, await take())); // for processes to be killed
  }
  return {
    open: async () => {
      const tables = await take();
      return { store: tables.store, reopen: async () => tables.reopen(), close: () => give_back(tables) };
    },
    close: async () => {
      delete process.env["SQL_TEST_TABLES"];
      await close();
    },
  };
}

async function address_of(server: string, { db, table }: OpenTables): Promise<KilledTables> {
  const [name = "", schema = ""] = table("sessions").split(".").reverse();
  const table_prefix = name.slice(0, -"sessions".length);
  if (schema !== "") {
    return { server, schema, table_prefix };
  }
  const { rows } = await sql<{ here: string }>`select database() as here`.execute(db);
  return { server, schema: rows[0]?.here ?? "", table_prefix };
}
