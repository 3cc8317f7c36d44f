import type { UserMessage } from "@simulacra-ai/core";
import type { SessionMetadata } from "@simulacra-ai/session";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { loaded, message, outcome_of } from "../helpers.js";
import { DATABASES, each_database, IS_FULL, type OpenTables, POSTGRESQL, SQLITE, use_tables } from "./databases.js";

const DATE = "2024-05-01T00:00:00.000Z";

each_database(
  (database) => {
    const { open } = use_tables(database, 1);
    const change = ({ db, table }: OpenTables, name: "sessions" | "messages" | "drafts", what: string) =>
      sql.raw(`update ${table(name)} set ${what} where session_key = 'bad'`).execute(db);

    async function with_bad(): Promise<OpenTables> {
      const tables = open();
      await tables.store.save("whole", [message("one")], { updated_at: "2024-04-01T00:00:00.000Z" });
      await tables.store.save("bad", [message("one"), message("two")], { updated_at: DATE, label: "L" });
      return tables;
    }

    test.each(['{"id":', "[]", "null", "true", ""])(
      "rule 55: metadata that are %s: corrupt, listed, not overwritten, deletable",
      async (text) => {
        const tables = await with_bad();
        const { store } = tables;
        const { revision } = await loaded(store, "bad");
        await change(tables, "sessions", `metadata = '${text}'`);
        await expect(store.load("bad")).rejects.toMatchObject({ code: "corrupt", session_id: "bad" });
        expect(await outcome_of(store.save("bad", []))).toBe("corrupt");
        expect(await outcome_of(store.replace("bad", [], { revision }))).toBe("corrupt");
        expect(await outcome_of(store.append("bad", [message("x")], { revision }))).toBe("corrupt");
        expect(await outcome_of(store.update("bad", { label: "new" }))).toBe("corrupt");
        const [bad, whole] = await store.list();
        expect(bad).toMatchObject({ id: "bad", updated_at: DATE, damaged: expect.any(String) as string });
        expect(whole).toEqual((await loaded(store, "whole")).metadata);
        expect(await store.delete("bad")).toBe(true);
        expect([await store.load("bad"), (await store.list()).length]).toEqual([undefined, 1]);
      },
    );

    test.each(["[{", "null", '"x"', "{},{}", ""])(
      "rule 55: a message that is %s: corrupt, and a save repairs it",
      async (text) => {
        const tables = await with_bad();
        await sql.raw(`update ${tables.table("messages")} set body = '${text}' where position = 1`).execute(tables.db);
        await expect(tables.store.load("bad")).rejects.toMatchObject({ code: "corrupt", session_id: "bad" });
        await tables.store.save("bad", [message("new")]);
        expect(await loaded(tables.store, "bad")).toMatchObject({
          messages: [message("new")],
          metadata: { label: "L" },
        });
      },
    );

    test("rule 55: a message or a draft that is missing or damaged is corrupt, never less than there was", async () => {
      const tables = await with_bad();
      const { store, db, table } = tables;
      await store.set_draft("bad", { prompt: message("three") as UserMessage, updated_at: DATE });
      await change(tables, "drafts", "body = '{'");
      await expect(store.load("bad")).rejects.toMatchObject({ code: "corrupt" });
      await store.set_draft("bad", undefined);
      expect((await loaded(store, "bad")).messages).toHaveLength(2);
      await sql.raw(`delete from ${table("messages")} where session_key = 'bad' and position = 0`).execute(db);
      await expect(store.load("bad")).rejects.toMatchObject({ code: "corrupt" });
    });

    test("rule 55: a damaged session is listed among those of its kind and its parent", async () => {
      const tables = await with_bad();
      const { store } = tables;
      await store.update("bad", { parent_id: "wh\u{1f600}le\u0001 !", kind: "fork" });
      await change(tables, "sessions", "metadata = '{'");
      for (const query of [{ parent_id: "wh\u{1f600}le\u0001 !" }, { kinds: ["fork" as const] }]) {
        expect(await store.list(query)).toMatchObject([
          { id: "bad", parent_id: "wh\u{1f600}le\u0001 !", damaged: expect.any(String) as string },
        ]);
      }
    });

    test("rule 55: rows of messages that nobody counts are in nobody's way", async () => {
      const tables = await with_bad();
      const { store, db, table } = tables;
      await change(tables, "sessions", "message_count = 0");
      await store.save("bad", [message("new")]);
      expect((await loaded(store, "bad")).messages).toEqual([message("new")]);
      await change(tables, "sessions", "message_count = -1");
      await expect(store.load("bad")).rejects.toMatchObject({ code: "corrupt" });
      expect(await outcome_of(store.append("bad", [message("x")], { revision: "r" }))).toBe("corrupt");
      await sql.raw(`delete from ${table("sessions")} where session_key = 'bad'`).execute(db);
      await store.save("bad", [message("again")]);
      expect((await loaded(store, "bad")).messages).toEqual([message("again")]);
    });

    test("rule 55: nothing of a session is left behind by delete, and nothing of the old messages by save", async () => {
      const { store, db, table } = await with_bad();
      const count = async (name: "sessions" | "messages" | "drafts") => {
        const { rows } = await sql<{ n: unknown }>`${sql.raw(`select count(*) as n from ${table(name)}`)}`.execute(db);
        return Number(rows[0]?.n);
      };
      await store.set_draft("bad", { prompt: message("three") as UserMessage, updated_at: DATE });
      await store.save("bad", [message("x")]);
      expect([await count("sessions"), await count("messages"), await count("drafts")]).toEqual([2, 2, 1]);
      await store.delete("bad");
      expect([await count("sessions"), await count("messages"), await count("drafts")]).toEqual([1, 1, 0]);
    });

    test("rule 55: an append writes the new messages alone", async () => {
      const { store, db, table } = await with_bad();
      const rows = async () =>
        (
          await sql<{ position: number; body: string }>`${sql.raw(
            `select position, generation, body from ${table("messages")} where session_key = 'bad' order by position`,
          )}`.execute(db)
        ).rows;
      const before = await rows();
      await store.append("bad", [message("three")], await loaded(store, "bad"));
      expect(await rows()).toEqual([...before, expect.objectContaining({ position: 2 })]);
    });
  },
  IS_FULL ? DATABASES : [SQLITE, POSTGRESQL],
);

each_database((database) => {
  const { open } = use_tables(database, 1);

  test("rule 55: thousands of messages, in as many statements as it takes", async () => {
    const { store } = open();
    const messages = Array.from({ length: 1201 }, (_, n) => message(`${n}`));
    await store.save("s", messages);
    await store.append("s", messages, await loaded(store));
    expect((await loaded(store)).messages).toEqual([...messages, ...messages]);
  });
});

each_database(
  (database) => {
    const { open } = use_tables(database, 1);
    const count = IS_FULL ? 100_000 : 2000;

    test(`rule 55: a page of ${count} sessions comes from an index, and reads no message`, async () => {
      const { store, db, table } = open();
      const is_sqlite = database === SQLITE;
      const numbers = is_sqlite
        ? `with recursive of(n) as (select 0 union all select n + 1 from of where n < ${count - 1}) select n from of`
        : `select n from generate_series(0, ${count - 1}) as of(n)`;
      const date = is_sqlite ? "printf('2024-%07d', n)" : "'2024-' || lpad(n::text, 7, '0')";
      await sql
        .raw(
          `insert into ${table("sessions")} select 's' || n, 's' || n, ${date}, case when n % 100 = 0 then 's1' end,
          case when n % 100 = 0 then 'fork' else 'root' end,
          '{"created_at":"2024","updated_at":"' || ${date} || '"}', 0, 'r', 'v', 'g', 0 from (${numbers}) as numbers`,
        )
        .execute(db);
      await sql.raw(`analyze ${table("sessions")}`).execute(db);

      const newest = await store.list({ limit: 20 });
      expect(newest.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, n) => `s${count - 1 - n}`));
      const pages: SessionMetadata[] = [];
      for (let n = 0; n < 3; n += 1) {
        const before = pages.at(-1);
        pages.push(...(await store.list({ limit: 20, ...(before && { before }) })));
      }
      expect(pages.map(({ id }) => id)).toEqual(Array.from({ length: 60 }, (_, n) => `s${count - 1 - n}`));
      const forks = await store.list({ limit: 5, parent_id: "s1", kinds: ["fork"] });
      expect(forks.map(({ id }) => id)).toEqual([100, 200, 300, 400, 500].map((n) => `s${count - n}`));

      const explain = is_sqlite ? "explain query plan" : "explain";
      const plan_of = async (where: string) => {
        const order = "order by updated_at desc, session_key asc limit 20";
        const { rows } = await sql.raw(`${explain} select id from ${table("sessions")} ${where} ${order}`).execute(db);
        return JSON.stringify(rows);
      };
      for (const where of [
        "",
        `where updated_at <= '2024-0001000' and (updated_at < '2024-0001000' or session_key > 's')`,
        "where kind = 'root'",
      ]) {
        const plan = await plan_of(where);
        expect(plan, plan).toMatch(/index/i);
        expect(plan, plan).not.toMatch(/sort|seq scan|temp b-tree/i);
      }
      expect(await plan_of("where parent_key = 's1'")).toMatch(/index/i);
    }, 60_000);
  },
  [SQLITE, POSTGRESQL],
);
