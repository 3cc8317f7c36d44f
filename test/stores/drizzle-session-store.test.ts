import {
  DrizzleSessionStore,
  SessionError,
  type DrizzleSessionAdapter,
  type DrizzleSessionRow,
} from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { full_adapter, json_adapter, open_table, put_raw, raw_row, text_adapter } from "./row-backends.js";
import { outcome_of, text_message } from "./row-store.js";

const [ONE, TWO, THREE] = [text_message("one"), text_message("two"), text_message("three")];

/** The adapter with a log of what is called. */
async function logged(
  name: string,
  adapter_of: (table: Awaited<ReturnType<typeof open_table>>) => DrizzleSessionAdapter,
) {
  const table = await open_table(name);
  const adapter = adapter_of(table);
  const calls: string[] = [];
  const rows: DrizzleSessionRow[] = [];
  const added: unknown[] = [];
  const observed: DrizzleSessionAdapter = {
    ...adapter,
    list: () => (calls.push("list"), adapter.list()),
    load: (id) => (calls.push("load"), adapter.load(id)),
    upsert: (row) => (calls.push("upsert"), rows.push(row), adapter.upsert(row)),
    ...(adapter.list_metadata && {
      list_metadata: () => (calls.push("list_metadata"), adapter.list_metadata?.() ?? Promise.resolve([])),
    }),
    ...(adapter.append && {
      append: (id, messages, row) => {
        calls.push("append");
        added.push(messages);
        return adapter.append?.(id, messages, row) ?? Promise.resolve(false);
      },
    }),
  };
  return { table, adapter: observed, calls, rows, added, store: new DrizzleSessionStore(observed) };
}

test("rule 50: upsert gets values: the metadata and the messages as they will be loaded, and the date of the metadata", async () => {
  const { store, rows, calls } = await logged("json_sessions", json_adapter);
  await store.save("s", [ONE, TWO], { label: "L" });
  expect(calls).toEqual(["load", "upsert"]);
  const session = await store.load("s");
  expect(rows).toEqual([{ id: "s", ...session, updated_at: session?.metadata.updated_at }]);
  expect(session?.messages).toEqual([ONE, TWO]);
});

test("rule 50: a save costs one load and one upsert where the adapter has no append", async () => {
  const { store, calls } = await logged("json_sessions", json_adapter);
  await store.save("s", [ONE]);
  await store.save("s", [ONE, TWO]);
  expect(calls).toEqual(["load", "upsert", "load", "upsert"]);
});

test("rule 25: what the library cannot follow to its depth is invalid input", async () => {
  const table = await open_table("json_sessions");
  const upsert = async () => {
    throw new RangeError("Maximum call stack size exceeded");
  };
  const store = new DrizzleSessionStore({ ...json_adapter(table), upsert });
  const error = await store.save("s", [ONE]).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "invalid_input", session_id: "s", cause: expect.any(RangeError) as unknown });
});

test("rule 22: an adapter that keeps objects and hands out its own shares none with the caller", async () => {
  const kept = new Map<string, DrizzleSessionRow>();
  const store = new DrizzleSessionStore({
    list: async () => [...kept.values()],
    load: async (id) => kept.get(id),
    upsert: async (row) => kept.set(row.id, row),
    delete: async (id) => kept.delete(id),
  });
  const [given, custom] = [[text_message("one", { extra: { n: 1 } })], { list: [1] }];
  await store.save("s", given, { custom });
  Object.assign(given[0] ?? {}, { extra: 2 });
  custom.list.push(2);
  const spoilt = await store.load("s");
  Object.assign(spoilt?.messages[0] ?? {}, { extra: 3 });
  Object.assign(spoilt?.metadata.custom ?? {}, { list: 3 });
  Object.assign((await store.list())[0]?.custom ?? {}, { list: 4 });
  expect(await store.load("s")).toMatchObject({ messages: [{ extra: { n: 1 } }], metadata: { custom: { list: [1] } } });
  const first = kept.get("s");
  await store.save("s", [], { custom: { list: [] } });
  expect(first?.messages).toHaveLength(1);
});

test("rule 50: append gets what is new, after a load by anybody, and nothing where only metadata change", async () => {
  const { store, calls, added, table, adapter } = await logged("json_sessions", full_adapter);
  await store.save("s", [ONE]);
  await store.save("s", [ONE, TWO, THREE], { label: "L" });
  await new DrizzleSessionStore(adapter).save("s", [ONE, TWO, THREE], { model: "M" });
  expect(calls).toEqual(["load", "upsert", "load", "append", "load", "append"]);
  expect(added).toEqual([[TWO, THREE], []]);
  const { metadata, messages } = (await store.load("s")) ?? {};
  expect(messages).toEqual([ONE, TWO, THREE]);
  expect(metadata).toMatchObject({ label: "L", model: "M", message_count: 3 });
  expect((await raw_row(table, "s"))?.["updated_at"]).toBe(metadata?.updated_at);
});

test("rule 50: append is called whatever the order of keys in the database, and not where what is stored is no prefix", async () => {
  const { store, calls, table } = await logged("json_sessions", full_adapter);
  const { role, id, content } = ONE;
  const date = "2024-01-01T00:00:00.000Z";
  const metadata = JSON.stringify({ updated_at: date, created_at: date });
  await put_raw(table, { id: "s", metadata, messages: JSON.stringify([{ content, id, role }]), updated_at: date });
  const saves = [[ONE, TWO], [text_message("edited"), TWO], [text_message("edited")], [], [ONE]];
  for (const messages of saves) {
    await store.save("s", messages);
    expect((await store.load("s"))?.messages).toEqual(messages);
  }
  const writes = calls.filter((call) => call !== "load");
  expect(writes).toEqual(["append", "upsert", "upsert", "upsert", "append"]);
});

test.each([
  ["another writer has appended", [ONE, THREE], "2030-01-01T00:00:00.000Z"],
  ["another writer has replaced as many messages", [THREE], "2030-01-01T00:00:00.000Z"],
  ["another writer has cut", [], "2030-01-01T00:00:00.000Z"],
])(
  "where %s between reading and appending, save replaces all, and keeps the other's metadata",
  async (_, theirs, date) => {
    const table = await open_table("json_sessions");
    const adapter = full_adapter(table);
    const other = new DrizzleSessionStore(json_adapter(table));
    await other.save("s", [ONE]);
    const results: boolean[] = [];
    const store = new DrizzleSessionStore({
      ...adapter,
      append: async (...args) => {
        await other.save("s", theirs, { label: "theirs", label_source: "user", updated_at: date });
        results.push(await adapter.append(...args));
        return results.at(-1) ?? false;
      },
    });
    await store.save("s", [ONE, TWO], { model: "M", label: "auto", label_source: "auto" });
    expect(results).toEqual([false]);
    expect(await store.load("s")).toMatchObject({
      messages: [ONE, TWO],
      metadata: { label: "theirs", model: "M", message_count: 2 },
    });
  },
);

test.each<[string, () => Promise<boolean>]>([
  ["resolves with nothing", () => Promise.resolve(undefined as unknown as boolean)],
  ["resolves with a count", () => Promise.resolve(1 as unknown as boolean)],
  ["rejects", () => Promise.reject(new Error("no such function: json_insert"))],
  [
    "throws",
    () => {
      throw new Error("not async");
    },
  ],
])("an append that %s is made good by an upsert", async (_, append) => {
  const table = await open_table("json_sessions");
  const store = new DrizzleSessionStore({ ...json_adapter(table), append });
  await store.save("s", [ONE], { label: "L" });
  await store.save("s", [ONE, TWO]);
  expect(await store.load("s")).toMatchObject({ messages: [ONE, TWO], metadata: { label: "L", message_count: 2 } });
});

test("rule 50: list reads no messages where the adapter has list_metadata: rows, or the metadata alone", async () => {
  const { store, calls, adapter } = await logged("json_sessions", full_adapter);
  await store.save("a", [ONE], { updated_at: "2024-01-01T00:00:00.000Z" });
  await store.save("b", [ONE, TWO], { updated_at: "2024-01-02T00:00:00.000Z", parent_id: "a" });
  const expected = [(await store.load("b"))?.metadata, (await store.load("a"))?.metadata];
  calls.length = 0;
  expect(await store.list()).toEqual(expected);
  expect(await store.list({ parent_id: "a" })).toEqual(expected.slice(0, 1));
  expect(calls).toEqual(["list_metadata", "list_metadata"]);
  const bare = new DrizzleSessionStore({
    ...adapter,
    list_metadata: async () => [expected[1], expected[0]].filter((entry) => entry !== undefined),
  });
  expect(await bare.list()).toEqual(expected);
});

test("rule 25: an adapter that throws at once, or something that is no error, is `storage`; its own SessionError passes", async () => {
  const fails = (reason: unknown) => () => {
    throw reason;
  };
  const failing = (reason: unknown) =>
    new DrizzleSessionStore({ list: fails(reason), load: fails(reason), upsert: fails(reason), delete: fails(reason) });
  for (const reason of [new Error("gone"), "gone"]) {
    const store = failing(reason);
    for (const call of [store.list(), store.load("s"), store.save("s", []), store.delete("s")]) {
      const error = await call.catch((rejected: unknown) => rejected);
      expect(error).toMatchObject({ code: "storage", cause: reason });
      expect((error as Error).message).toContain("gone");
    }
  }
  expect(await outcome_of(failing(new SessionError("conflict", "own")).save("s", []))).toBe("conflict");
});

test("rule 50: columns of plain text: one damaged row harms no other", async () => {
  const { store, table } = await logged("text_sessions", text_adapter);
  await store.save("whole", [ONE]);
  await put_raw(table, { id: "bad", metadata: "{", messages: "[", updated_at: "2030-01-01T00:00:00.000Z" });
  const [bad, whole] = await store.list();
  expect(bad).toMatchObject({ id: "bad", message_count: 0, updated_at: "2030-01-01T00:00:00.000Z" });
  expect(bad?.damaged).toContain("the metadata are no JSON");
  expect(whole).toEqual((await store.load("whole"))?.metadata);
});
