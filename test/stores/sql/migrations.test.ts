import type { UserMessage } from "@simulacra-ai/core";
import { CamelCasePlugin, type Kysely, sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SqlSessionStore } from "../../../src/stores/sql/index.js";
import { migrate } from "../../../src/stores/sql/sql-migrate.js";
import { MIGRATIONS, type SqlMigration } from "../../../src/stores/sql/sql-schema.js";
import { open_database } from "../../../src/stores/sql/sql-tables.js";
import { message } from "../helpers.js";
import { use_children } from "./children.js";
import { type Database, each_database, IS_FULL, new_name, type Place, POSTGRESQL, SQLITE } from "./databases.js";
import { connect_postgres } from "./postgres.js";

const LATEST = MIGRATIONS.length;
const DRAFT = { prompt: message("x") as UserMessage, updated_at: "2026-01-01T00:00:00.000Z" };

each_database((database) => {
  let place: Place;
  let db: Database;
  let sets = 0;
  beforeAll(async () => {
    place = await database.open();
    db = place.connect();
  });
  beforeEach(() => void (sets += 1));
  afterAll(() => place.close());
  const options = () => ({ ...place.options, table_prefix: `m${sets}_` });
  const versions = async (): Promise<number[]> => {
    const tables = open_database(db, options());
    const rows = await tables.db.selectFrom(tables.names.migrations).select("version").orderBy("version").execute();
    return rows.map(({ version }) => Number(version)).filter((version) => version > 0);
  };
  const all_versions = Array.from({ length: LATEST }, (_, n) => n + 1);

  test("rule 54: before migrate() every method says what to do, and after it works, on the same store", async () => {
    const store = new SqlSessionStore(db, options());
    const calls = [
      () => store.list(),
      () => store.load("s"),
      () => store.save("s", []),
      () => store.delete("s"),
      () => store.append("s", [], { revision: "" }),
      () => store.replace("s", [], { revision: null }),
      () => store.update("s", {}),
      () => store.set_draft("s", undefined),
    ];
    for (const call of calls) {
      const error = { code: "storage", message: expect.stringContaining("call migrate() first") as string };
      await expect(call()).rejects.toMatchObject(error);
    }
    await store.migrate();
    await store.migrate();
    expect(await store.list()).toEqual([]);
    expect(await versions()).toEqual(all_versions);
  });

  test("rule 54: many at once migrate once", async () => {
    const stores = Array.from({ length: 4 }, () => new SqlSessionStore(db, options()));
    await Promise.all(stores.map((store) => store.migrate()));
    await stores[0]?.save("s", [message("one")]);
    expect(await versions()).toEqual(all_versions);
  });

  test("rule 54: an older version is refused, and brought up to date with what it holds", async () => {
    const store = new SqlSessionStore(db, options());
    await migrate(open_database(db, options()), MIGRATIONS.slice(0, 1));
    await expect(store.load("s")).rejects.toMatchObject({ code: "storage" });
    await store.migrate();
    await store.save("s", [message("one")]);
    await store.set_draft("s", DRAFT);
    const more: SqlMigration = { name: "one more", statements: () => [sql`select 1`] };
    await migrate(open_database(db, options()), [...MIGRATIONS, more]);
    expect(await versions()).toEqual([...all_versions, LATEST + 1]);
  });

  test("rule 54: a newer version is refused, by migrate() and by a new store", async () => {
    const newer: SqlMigration = { name: "of tomorrow", statements: () => [] };
    await migrate(open_database(db, options()), [...MIGRATIONS, newer]);
    const store = new SqlSessionStore(db, options());
    const error = { code: "storage", message: expect.stringContaining(`version ${LATEST + 1}`) as string };
    await expect(store.migrate()).rejects.toMatchObject(error);
    await expect(store.list()).rejects.toMatchObject(error);
  });

  test("rule 54: a step that fails is not recorded, and the next attempt goes on from there", async () => {
    const made = (name: string) => sql`create table if not exists ${table(name)} (x integer)`;
    const table = (name: string) => {
      const { schema, table_prefix } = { schema: undefined, ...options() };
      return schema === undefined ? sql.id(`${table_prefix}${name}`) : sql.id(schema, `${table_prefix}${name}`);
    };
    const steps = (last: SqlMigration["statements"]) => [...MIGRATIONS, { name: "two", statements: last }];
    const failing = steps(() => [made("half"), sql`insert into ${table("nowhere")} values (1)`]);
    await expect(migrate(open_database(db, options()), failing)).rejects.toThrow();
    if (database.name !== "MariaDB") {
      await expect(sql`select * from ${table("half")}`.execute(db)).rejects.toThrow();
      expect(await versions()).toEqual([]); // all steps of one call together
    }
    await migrate(
      open_database(db, options()),
      steps(() => [made("half"), made("whole")]),
    );
    expect(await versions()).toEqual([...all_versions, LATEST + 1]);
    await sql`select * from ${table("half")}`.execute(db);
  });
});

describe("processes", () => {
  each_database(() => {
    const run = use_children();
    const count = IS_FULL ? 100 : 12;

    test(`rule 54: ${count} processes that start at once, with half the connections, all end right`, async () => {
      const [schema, user] = [new_name(), new_name()];
      const db = connect_postgres();
      await sql`create role ${sql.id(user)} login connection limit ${sql.lit(count / 2)}`.execute(db);
      try {
        await sql`create schema ${sql.id(schema)} authorization ${sql.id(user)}`.execute(db);
        const task = { what: "migrate" as const, schema, user, name: "", count };
        const printed = await run(Array.from({ length: count }, () => task));
        expect(printed).toEqual(Array(count).fill("ready\ndone"));
        const { rows } = await sql`select version from ${sql.id(schema, "simulacra_migrations")} order by 1`.execute(
          db,
        );
        expect(rows.map((row) => (row as { version: number }).version)).toEqual([0, 1, 2]);
        await new SqlSessionStore(db, { schema }).save("s", [message("one")]);
      } finally {
        await sql`drop schema if exists ${sql.id(schema)} cascade`.execute(db);
        await sql`drop role ${sql.id(user)}`.execute(db);
        await db.destroy();
      }
    }, 120_000);
  }, [POSTGRESQL]);
});

describe("options", () => {
  test.each([
    { table_prefix: "a-b" },
    { table_prefix: 'x"; drop table y; --' },
    { table_prefix: "x".repeat(31) },
    { table_prefix: 5 },
    { schema: "" },
    { schema: "a.b" },
    { dialect: "oracle" },
  ])("rule 25: %o is invalid input", async (bad) => {
    const place = await SQLITE.open();
    try {
      expect(() => new SqlSessionStore(place.connect(), bad as object)).toThrow(
        expect.objectContaining({ code: "invalid_input" }) as Error,
      );
    } finally {
      await place.close();
    }
  });

  test("rule 54: the application's own tables and plugins are none of the store's business", async () => {
    const place = await SQLITE.open();
    try {
      const plain = place.connect() as unknown as Kysely<{ users: { id: number } }>;
      const store = new SqlSessionStore(plain.withPlugin(new CamelCasePlugin()));
      await store.migrate();
      await store.save("s", [message("one")]);
      expect(await new SqlSessionStore(plain).list()).toHaveLength(1);
      await plain.transaction().execute(async (transaction) => {
        expect(() => new SqlSessionStore(transaction)).toThrow("transaction");
      });
    } finally {
      await place.close();
    }
  });

  test("rule 54: in SQLite a schema is an attached database; without a prefix the tables have plain names", async () => {
    const place = await SQLITE.open();
    try {
      const store = new SqlSessionStore(place.connect(), { schema: "main", table_prefix: "" });
      await store.migrate();
      await store.save("s", [message("one")], { kind: "root" });
      expect(await store.list({ kinds: ["root"] })).toHaveLength(1);
    } finally {
      await place.close();
    }
  });
});
