import { has_code } from "../../src/errors.js";
import { expect, test } from "vitest";
import { put_raw, raw_row, type RowBackend } from "./row-backends.js";
import { open_store, outcome_of, text_message } from "./row-store.js";

const DATE = "2024-05-01T00:00:00.000Z";
const GOOD = JSON.stringify({ id: "other", created_at: DATE, updated_at: DATE, message_count: 7, label: "L" });

/** Columns that cannot be read: whether the metadata are at fault, and what both hold. */
const DAMAGE: [string, { metadata: string; messages: string; parses?: boolean }][] = [
  ["metadata that are no JSON", { metadata: '{"id":', messages: "[]" }],
  ["metadata that are an array", { metadata: "[]", messages: "[]", parses: true }],
  ["metadata that are a boolean", { metadata: "true", messages: "[]", parses: true }],
  ["metadata that are null", { metadata: "null", messages: "[]", parses: true }],
  ["messages that are no JSON", { metadata: GOOD, messages: "[{" }],
  ["messages that are an object", { metadata: GOOD, messages: "{}", parses: true }],
  ["a message that is a text", { metadata: GOOD, messages: '["x"]', parses: true }],
  ["a message that is null", { metadata: GOOD, messages: "[null]", parses: true }],
];

/** Damaged is never missing, and never overwritten. */
export function define_row_damage(backend: RowBackend): void {
  test.each(DAMAGE)(
    "rule 50: %s: corrupt, listed, not overwritten, deletable",
    async (_, { metadata, messages, parses }) => {
      const { store, table } = await open_store(backend);
      await store.save("whole", [text_message("one")], { updated_at: "2024-04-01T00:00:00.000Z" });
      const row = { id: "bad", metadata, messages, updated_at: DATE };
      await put_raw(table, row);

      const error = await store.load("bad").catch((reason: unknown) => reason);
      expect(has_code(error, "corrupt")).toBe(true);
      expect(error).toMatchObject({ session_id: "bad" });
      expect(await outcome_of(store.save("bad", [text_message("new")]))).toBe("corrupt");
      expect(await raw_row(table, "bad")).toEqual(row);

      const seen_in_list = metadata !== GOOD || !backend.lists_metadata;
      if (backend.spoils_list && seen_in_list && !parses) {
        expect(await outcome_of(store.list())).toBe("corrupt");
      } else {
        const [bad, whole] = await store.list();
        expect(bad).toMatchObject({ id: "bad", updated_at: DATE });
        expect([bad?.damaged !== undefined, bad?.message_count]).toEqual(seen_in_list ? [true, 0] : [false, 7]);
        expect(whole).toEqual((await store.load("whole"))?.metadata);
      }

      expect(await store.delete("bad")).toBe(true);
      expect(await store.load("bad")).toBeUndefined();
      expect(await store.list()).toHaveLength(1);
    },
  );

  test("rule 50: little metadata are completed, the id is the row's, and the dates are the metadata's", async () => {
    const { store, table } = await open_store(backend);
    await put_raw(table, { id: "bare", metadata: "{}", messages: "[]", updated_at: DATE });
    const dates = { created_at: "2020-01-01T00:00:00Z", updated_at: "2021-01-01T00:00:00+02:00" };
    const metadata = JSON.stringify({ ...dates, id: "x", unheard_of: [null] });
    await put_raw(table, { id: "s", metadata, messages: JSON.stringify([text_message("one")]), updated_at: DATE });
    expect((await store.load("s"))?.metadata).toEqual({ id: "s", ...dates, message_count: 1, unheard_of: [null] });
    expect((await store.list()).map(({ id, updated_at }) => [id, updated_at])).toEqual([
      ["bare", DATE],
      ["s", dates.updated_at],
    ]);
    expect((await store.load("bare"))?.metadata).toEqual({
      id: "bare",
      created_at: DATE,
      updated_at: DATE,
      message_count: 0,
    });
    await store.save("s", [], { label: "L" });
    expect((await store.load("s"))?.metadata).toMatchObject({ created_at: dates.created_at, unheard_of: [null] });
  });
}
