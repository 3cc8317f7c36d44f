import { PrismaSessionStore, type PrismaSessionDelegate, type PrismaSessionRow } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { delegate_of, open_prisma, open_table, put_raw, raw_row } from "./row-backends.js";
import { loose, outcome_of, text_message } from "./row-store.js";

const [ONE, TWO] = [text_message("one"), text_message("two")];

async function open(name: "Session" | "TextSession" = "Session") {
  const table = await open_table(name);
  const prisma = open_prisma(table);
  return { table, prisma, store: new PrismaSessionStore(delegate_of(prisma, table)) };
}

test("rule 50: a Json column gets values and a String column their text, by what the delegate tells of its model", async () => {
  const { prisma, store } = await open();
  await store.save("s", [ONE], { label: "L" });
  const row = await prisma.session.findUniqueOrThrow({ where: { id: "s" } });
  expect(row).toMatchObject({ metadata: { label: "L" }, messages: [ONE] });
  expect(row.updated_at.toISOString()).toBe((await store.load("s"))?.metadata.updated_at);

  const text = await open("TextSession");
  await text.store.save("s", [ONE], { label: "L" });
  const text_row = await text.prisma.textSession.findUniqueOrThrow({ where: { id: "s" } });
  expect(JSON.parse(text_row.messages)).toEqual([ONE]);
  expect(JSON.parse(text_row.metadata)).toEqual((await text.store.load("s"))?.metadata);
  expect(text_row.updated_at).toBe((await text.store.load("s"))?.metadata.updated_at);
});

test("rule 50: list selects no messages", async () => {
  const { prisma, store } = await open();
  await store.save("s", [ONE]);
  const results: object[] = [];
  const observed = prisma.$extends({
    query: {
      session: {
        findMany: async ({ args, query }) => {
          const rows = await query(args);
          results.push(...rows);
          return rows;
        },
      },
    },
  });
  expect(await new PrismaSessionStore(observed.session).list()).toEqual([(await store.load("s"))?.metadata]);
  expect(results.map((row) => Object.keys(row).sort())).toEqual([["id", "metadata", "updated_at"]]);
});

test.each(["Session", "TextSession"] as const)(
  "rule 50: %s: dates that no column takes stay in the metadata",
  async (name) => {
    const { table, store } = await open(name);
    for (const updated_at of ["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00"]) {
      await store.save("s", [], { updated_at });
      expect((await store.load("s"))?.metadata.updated_at).toBe(updated_at);
      const column = (await raw_row(table, "s"))?.["updated_at"];
      expect(new Date(column as string | number).toISOString()).toBe("2024-01-01T00:00:00.000Z");
    }
    const begun = new Date();
    await store.save("s", [], { updated_at: "yesterday" });
    expect((await store.load("s"))?.metadata.updated_at).toBe("yesterday");
    const column = (await raw_row(table, "s"))?.["updated_at"];
    expect(new Date(column as string | number) >= begun).toBe(true);
  },
);

test("rule 50: Json columns that Prisma cannot parse: each row is read alone, and the rest of the list is unharmed", async () => {
  const { table, store } = await open();
  const date = "2030-01-01T00:00:00.000Z";
  await put_raw(table, { id: "bad", metadata: "{", messages: "[]", updated_at: date });
  await put_raw(table, { id: "worse", metadata: "x", messages: "x", updated_at: date });
  await store.save("whole", [ONE]);
  const [bad, worse, whole] = await store.list();
  for (const [entry, id] of [
    [bad, "bad"],
    [worse, "worse"],
  ] as const) {
    expect(entry).toMatchObject({ id, updated_at: date, message_count: 0 });
    expect(entry?.damaged).toContain(id);
  }
  expect(whole).toEqual((await store.load("whole"))?.metadata);
  expect(await store.list({ limit: 1 })).toEqual([bad]);
});

test("rule 50: a key that Prisma drops from values survives, in either column", async () => {
  const { store } = await open();
  const hostile = JSON.parse('{"__proto__":{"a":1}}') as object;
  const message = { ...text_message("x"), extended: hostile };
  await store.save("s", [message], loose({ custom: hostile }));
  const session = await store.load("s");
  expect(JSON.stringify(session?.messages)).toBe(JSON.stringify([message]));
  expect(JSON.stringify(session?.metadata.custom)).toBe(JSON.stringify(hostile));
});

test("rule 50: inside a transaction of the application: rolled back with it", async () => {
  const { prisma, store } = await open();
  await store.save("s", [ONE]);
  const failed = prisma.$transaction(async (transaction) => {
    const inside = new PrismaSessionStore(transaction.session);
    await inside.save("s", [ONE, TWO]);
    expect((await inside.load("s"))?.messages).toHaveLength(2);
    throw new Error("no");
  });
  expect(await outcome_of(failed)).toBe("Error: no");
  expect((await store.load("s"))?.messages).toEqual([ONE]);
});

test("rule 50: a delegate of four methods and nothing else, with either kind of date", async () => {
  for (const date_of of [(date: string) => date, (date: string) => new Date(date)]) {
    const rows = new Map<string, PrismaSessionRow>();
    const delegate: PrismaSessionDelegate = {
      findMany: async () => [...rows.values()],
      findUnique: async ({ where }) => rows.get(where.id) ?? null,
      upsert: async ({ where, create }) => rows.set(where.id, { ...create, updated_at: date_of(create.updated_at) }),
      deleteMany: async ({ where }) => ({ count: Number(rows.delete(where.id)) }),
    };
    const store = new PrismaSessionStore(delegate);
    await store.save("a", [ONE], { updated_at: "2024-01-01T00:00:00.000Z" });
    await store.save("b", [ONE, TWO], { updated_at: "2024-01-02T00:00:00.000Z" });
    expect((await store.list()).map(({ id, message_count }) => [id, message_count])).toEqual([
      ["b", 2],
      ["a", 1],
    ]);
    expect(rows.get("b")).toMatchObject({ id: "b", messages: [ONE, TWO], metadata: { message_count: 2 } });
    expect([await store.delete("a"), await store.delete("a")]).toEqual([true, false]);
    expect(await store.load("a")).toBeUndefined();
  }
});
