import { describe, expect, test } from "vitest";
import { to_key } from "../../../src/stores/sql/sql-keys.js";
import { seeded_random } from "../../support/random.js";
import { message } from "../helpers.js";
import { each_database, use_tables } from "./databases.js";

/** Texts that order differently by UTF-8, by collation, or padded with spaces. */
const TEXTS = ["", "a", "A", "a ", "a!", "a\u0001", 'a"', "a\t", "ä", "z", "é", "e\u0301", "\u{1f600}", "\uff5e"];
const MORE = ["\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}", "a\u{1f600}", "a\ue000", "a b", "ß", "ss", "İ"];
const LONGEST = [
  " ".repeat(139) + "x".repeat(60) + "a",
  " ".repeat(139) + "x".repeat(60) + "b",
  "x".repeat(200),
  "€".repeat(200),
  "\u{1f600}".repeat(100),
  "\u{1f600}".repeat(99) + "\uff5e",
];

const by_code_unit = (a: string, b: string) => (a < b ? -1 : Number(a > b));
/** As a database compares that pads the shorter text with spaces. */
const by_padded_bytes = (a: string, b: string) => {
  const length = Math.max(a.length, b.length);
  return Buffer.compare(Buffer.from(a.padEnd(length)), Buffer.from(b.padEnd(length)));
};

test("rule 21: keys order as texts do by UTF-16 code unit, in bytes and in padded bytes", () => {
  const { next, pick } = seeded_random(21);
  const low = ["\0", "\u0001", " ", "!", '"', "#"] as const;
  const units = [
    ...low,
    "a",
    "\u00ff",
    "\ud7ff",
    "\ud800",
    "\udbff",
    "\udc00",
    "\udfff",
    "\ue000",
    "\uf800",
    "\uffff",
  ] as const;
  const text = () => Array.from({ length: next() * 4 }, () => pick(units));
  const texts = [...TEXTS, ...MORE, ...Array.from({ length: 600 }, () => text().join(""))];
  const keys = new Map(texts.map((one) => [to_key(one), one]));
  expect(keys.size).toBe(new Set(texts).size);
  const expected = [...new Set(texts)].sort(by_code_unit);
  for (const order of [(a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b)), by_padded_bytes]) {
    expect([...keys.keys()].sort(order).map((key) => keys.get(key))).toEqual(expected);
  }
  expect(to_key("session-42_B")).toBe("session-42_B");
});

each_database((database) => {
  const { open } = use_tables(database, 1);

  test("rule 21: ids order by UTF-16 code unit, each its own, and pages follow one another", async () => {
    const { store } = open();
    const ids = [...TEXTS.slice(1), ...MORE, ...LONGEST].filter((id) => !id.includes("\0"));
    for (const id of ids) {
      await store.save(id, [message(id)], { updated_at: "2024-01-01T00:00:00.000Z" });
    }
    const listed = (await store.list()).map(({ id }) => id);
    expect(listed).toEqual([...ids].sort(by_code_unit));
    for (const [n, id] of listed.entries()) {
      const before = { updated_at: "2024-01-01T00:00:00.000Z", id };
      expect((await store.list({ before, limit: 1 })).map((entry) => entry.id)).toEqual(listed.slice(n + 1, n + 2));
      expect((await store.load(id))?.messages).toEqual([message(id)]);
    }
  });

  test("rule 21: dates order as texts, whatever they look like", async () => {
    const { store } = open();
    const dates = [
      ...TEXTS,
      "2024-01-01T00:00:00Z",
      "2024-01-01 00:00",
      "\ud800",
      "\0",
      "2024-01-01T00:00:00.000+02:00",
    ];
    for (const [n, updated_at] of [...dates, ...dates].entries()) {
      await store.save(`${n}`, [], { updated_at });
    }
    const entries = await store.list();
    const expected = [...entries].sort((a, b) => by_code_unit(b.updated_at, a.updated_at) || by_code_unit(a.id, b.id));
    expect(entries).toEqual(expected);
    expect(new Set(entries.map((entry) => entry.updated_at))).toEqual(new Set(dates));
    for (const [n, before] of entries.entries()) {
      expect((await store.list({ before })).length).toBe(entries.length - n - 1);
    }
  });
});

describe("what is too long to be indexed", () => {
  each_database((database) => {
    const { open } = use_tables(database, 1);

    test("rule 25: an id, a parent's id or a date that is too long is refused", async () => {
      const { store } = open();
      const long = "x".repeat(201);
      await expect(store.save(long, [])).rejects.toMatchObject({ code: "invalid_id" });
      await expect(store.replace(long, [], { revision: null })).rejects.toMatchObject({ code: "invalid_id" });
      await expect(store.append(long, [], { revision: "" })).rejects.toMatchObject({ code: "invalid_id" });
      expect([await store.load(long), await store.delete(long), await store.update(long, {})]).toEqual([
        undefined,
        false,
        false,
      ]);
      await expect(store.save(" ".repeat(171), [])).rejects.toMatchObject({ code: "invalid_id" });
      await expect(store.save("s", [], { parent_id: long })).rejects.toMatchObject({ code: "invalid_id" });
      await expect(store.save("s", [], { updated_at: long })).rejects.toMatchObject({ code: "invalid_input" });
      expect(await store.list({ parent_id: long, before: { id: long, updated_at: long } })).toEqual([]);
      const most = "\u{1f600}".repeat(100);
      await store.save(most, [message("x")], { parent_id: most, updated_at: "\ue000".repeat(100) });
      expect(await store.list({ parent_id: most, kinds: ["fork"] })).toHaveLength(1);
    });
  });
});
