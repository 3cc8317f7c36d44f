import type { UserMessage } from "@simulacra-ai/core";
import { sql } from "kysely";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SqlSessionStore } from "../../../src/stores/sql/index.js";
import { loaded, message, texts_of } from "../helpers.js";
import { type Database, each_database, MARIA, type Place, POSTGRESQL, type TestDatabase } from "./databases.js";

/** How one finds and ends, from outside, the connection that waits to insert messages. */
const KILLS: { [name: string]: { find: (db: Database) => Promise<number | undefined>; kill: (id: number) => string } } =
  {
    PostgreSQL: {
      find: async (db) => {
        const { rows } = await sql<{ id: number }>`select pid as id from pg_stat_activity
        where wait_event_type = 'Lock' and query like ${`%${found_in.schema}%messages%`}`.execute(db);
        return rows[0]?.id;
      },
      kill: (id) => `select pg_terminate_backend(${id})`,
    },
    MariaDB: {
      find: async (db) => {
        const { rows } = await sql<{ id: number }>`select id from information_schema.processlist
        where db = database() and info like '%simulacra_messages%' and id <> connection_id()`.execute(db);
        return rows[0]?.id;
      },
      kill: (id) => `kill ${id}`,
    },
  };

const found_in = { schema: "" };

function kills_of({ name }: TestDatabase) {
  const known = KILLS[name];
  if (known === undefined) {
    throw new Error(`nothing is known of connections of ${name}`);
  }
  return known;
}

each_database(
  (database) => {
    let place: Place;
    beforeEach(async () => {
      place = await database.open();
      found_in.schema = place.options.schema ?? "";
    });
    afterEach(() => place.close());

    test.each(["append", "replace", "save"] as const)(
      "rule 56: a connection lost in the middle of %s: an error, nothing half-written, and the next call works",
      async (method) => {
        const store = new SqlSessionStore(place.connect(), place.options);
        await store.migrate();
        await store.save("s", [message("one")], { label: "L" });
        await store.set_draft("s", { prompt: message("two") as UserMessage, updated_at: "2026-01-01" });
        const before = await loaded(store);
        const [others, { find, kill }] = [place.connect(), kills_of(database)];

        const messages = [message("one"), message("two")];
        const error = await others.transaction().execute(async (blocking) => {
          const table = sql.id(...(found_in.schema === "" ? [] : [found_in.schema]), "simulacra_messages");
          for (const position of [0, 1]) {
            // A row that is not committed yet: whoever inserts the same has to wait. The first one is there already.
            if (position > 0) {
              await sql`insert into ${table} values ('s', ${position}, 'x', '{}')`.execute(blocking);
            }
          }
          const call =
            method === "append"
              ? store.append("s", messages.slice(1), { revision: before.revision, metadata: { label: "new" } })
              : method === "replace"
                ? store.replace("s", messages, { revision: before.revision, metadata: { label: "new" } })
                : store.save("s", messages, { label: "new" });
          const outcome = call.then(
            () => undefined,
            (reason: unknown) => reason,
          );
          let id: number | undefined;
          while (id === undefined) {
            id = await find(others);
          }
          await sql.raw(kill(id)).execute(others);
          const reason = await outcome;
          await sql`delete from ${table} where position = 1`.execute(blocking);
          return reason;
        });

        expect(error).toMatchObject({ name: "SessionError", code: "storage", cause: expect.any(Error) as Error });
        expect(await loaded(store)).toEqual(before);
        await store.append("s", messages.slice(1), { revision: before.revision });
        const after = await loaded(store);
        expect(texts_of(after.messages)).toEqual(["one", "two"]);
        expect(after).not.toHaveProperty("draft");
      },
    );
  },
  [POSTGRESQL, MARIA],
);
