import { register } from "@simulacra-ai/session/conformance";
import { sql } from "kysely";
import { afterAll, describe, test } from "vitest";
import { each_database, use_tables, type OpenTables } from "./databases.js";
import type { KilledTables } from "./sql-store-module.js";

each_database((database) => {
  describe("rule 28: SqlSessionStore", () => {
    const { open } = use_tables(database, 2);
    let last: OpenTables | undefined;
    const again = () => (last as OpenTables).reopen();
    afterAll(() => {
      delete process.env["SQL_TEST_TABLES"];
    });
    register(test, {
      open: async () => {
        last = open();
        if (database.is_server) {
          const killed = open(); // is emptied with the other
          process.env["SQL_TEST_TABLES"] = JSON.stringify(await address_of(database.name, killed));
        }
        return last.store;
      },
      reopen: again,
      ...(database.is_server && {
        open_second: again,
        kills: {
          module: new URL("sql-store-module.ts", import.meta.url).href,
          rounds: 3,
          node_options: ["--import", "tsx"],
        },
      }),
    });
  });
});

async function address_of(server: string, { db, table }: OpenTables): Promise<KilledTables> {
  const [name = "", schema = ""] = table("sessions").split(".").reverse();
  const table_prefix = name.slice(0, -"sessions".length);
  if (schema !== "") {
    return { server, schema, table_prefix };
  }
  const { rows } = await sql<{ here: string }>`select database() as here`.execute(db);
  return { server, schema: rows[0]?.here ?? "", table_prefix };
}
