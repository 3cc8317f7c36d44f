import { expect, test } from "vitest";
import { loaded, message, outcome_of, texts_of } from "../helpers.js";
import { use_children } from "./children.js";
import { each_database, MARIA, new_name, POSTGRESQL, SQLITE, use_tables } from "./databases.js";
import { connect_postgres } from "./postgres.js";
import type { UserMessage } from "@simulacra-ai/core";
import { decide_append, type SessionChange } from "../../../src/stores/session-decisions.js";
import { SqlSessionStore } from "../../../src/stores/sql/index.js";
import { in_transaction, RowMoved } from "../../../src/stores/sql/sql-retries.js";
import { read_state, write_session } from "../../../src/stores/sql/sql-rows.js";
import { open_database } from "../../../src/stores/sql/sql-tables.js";
import { sql } from "kysely";

const ISOLATION: [string, ...string[]] = ["read uncommitted", "read committed", "repeatable read", "serializable"];
const SEVERAL_CONNECTIONS = [SQLITE, POSTGRESQL, MARIA];

each_database((database) => {
  const { open } = use_tables(database, 1);

  test.each(database.is_server ? ISOLATION : [undefined])(
    "rule 23: of two writers with one revision one wins, and no update is lost (%s)",
    async (isolation) => {
      const { store, reopen } = open();
      await store.save("s", [message("0")]);
      const writers = [reopen(isolation), reopen(isolation)];
      for (let round = 1; round <= 5; round += 1) {
        const options = { revision: (await loaded(store)).revision };
        const outcomes = await Promise.all([
          ...writers.map((writer) => outcome_of(writer.append("s", [message(`${round}`)], options))),
          ...writers.map((writer, n) => writer.update("s", { [`${n} ${round}`]: n })),
        ]);
        expect([...outcomes].sort()).toEqual(["conflict", "done", true, true]);
      }
      const { messages, metadata } = await loaded(store);
      expect(texts_of(messages)).toEqual(["0", "1", "2", "3", "4", "5"]);
      expect(Object.keys(metadata).filter((key) => /^\d \d$/.test(key))).toHaveLength(10);
    },
  );

  test("rule 26: a turn that was decided on before a draft was set is decided anew, and drops it if it is its own", async () => {
    const { store, db, table } = open();
    const { revision } = await store.replace("s", [message("0")], { revision: null });
    const [name = "", schema] = table("sessions").split(".").reverse();
    const options = { table_prefix: name.slice(0, -"sessions".length), ...(schema !== undefined && { schema }) };
    const tables = open_database(db, options);
    const stored = await read_state(tables, tables.db, "s");
    const turn = [message("typed")];
    await store.set_draft("s", { prompt: turn[0] as UserMessage, updated_at: "2026-01-01" });
    const { write } = decide_append("s", turn, { revision })(stored);
    const writing = in_transaction(tables.db, (transaction) =>
      write_session(tables, transaction, stored, write as SessionChange),
    );
    await expect(writing).rejects.toBeInstanceOf(RowMoved);
    expect((await loaded(store)).draft?.prompt).toEqual(turn[0]);
    await store.append("s", turn, { revision });
    const { rows } = await sql`${sql.raw(`select * from ${table("drafts")}`)}`.execute(db);
    expect([rows, texts_of((await loaded(store)).messages)]).toEqual([[], ["0", "typed"]]);
  });
}, SEVERAL_CONNECTIONS);

each_database(() => {
  const run = use_children();

  test("rule 23: of 4 processes that append 50 times each none loses a message, and none stores one twice", async () => {
    const schema = new_name();
    const db = connect_postgres();
    await sql`create schema ${sql.id(schema)}`.execute(db);
    try {
      const store = new SqlSessionStore(db, { schema });
      await store.migrate();
      await store.save("s", []);
      const names = ["a", "b", "c", "d"];
      const count = 50;
      const printed = await run(
        names.map((name) => ({ what: "append" as const, schema, user: "postgres", name, count })),
      );
      expect(printed).toEqual(Array(4).fill("ready\ndone"));
      const expected = names.flatMap((name) => Array.from({ length: count }, (_, n) => `${name} ${n}`));
      const { messages, metadata } = await loaded(store);
      expect(texts_of(messages).sort()).toEqual([...expected].sort());
      for (const name of names) {
        const own = texts_of(messages).filter((text) => text.startsWith(name));
        expect(own).toEqual(expected.filter((text) => text.startsWith(name)));
      }
      const updated = Object.fromEntries(names.flatMap((name) => [0, 10, 20, 30, 40].map((n) => [`${name} ${n}`, n])));
      expect(metadata).toMatchObject({ message_count: 200, ...updated });
    } finally {
      await sql`drop schema ${sql.id(schema)} cascade`.execute(db);
      await db.destroy();
    }
  });
}, [POSTGRESQL]);
