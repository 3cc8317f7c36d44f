import { InMemorySessionStore, SessionError, type SessionMetadata, type SessionStore } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { expect, test } from "vitest";
import { has_capability } from "../../src/capabilities.js";
import { open_table, raw_row, type RowBackend, type Table } from "./row-backends.js";

export function text_message(text: string, more: object = {}): Message {
  return { role: "user", id: `id of ${text.slice(0, 10)}`, content: [{ type: "text", text }], ...more };
}

/** Metadata that the compiler would not let through. */
export function loose(metadata: unknown): Partial<SessionMetadata> {
  return metadata as Partial<SessionMetadata>;
}

export async function outcome_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SessionError ? error.code : String(error);
  }
  return "done";
}

export async function open_store(backend: RowBackend): Promise<{ store: SessionStore; table: Table }> {
  const opened = await open_table(backend.table);
  return { store: backend.open(opened), table: opened };
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function numbers_of(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const DATES = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2023-12-31T23:59:59.999Z"];
const IDS = ["a", "A", "ä", "\u{1f600}", "\uff5e", "a b", "__proto__", "%", "'; --"];
const HOSTILE: unknown = JSON.parse('{"__proto__":{"polluted":1},"toJSON":1,"$type":"Raw","set":{"set":[]}}');
const VALUES = ["a", { n: [1, { m: null }] }, null, undefined, false, 0, "", HOSTILE];
const TEXTS = [
  "\ud800",
  "half \ud83d of a pair",
  "\u0000 \u001f",
  "\u2028\r\n",
  "\ufeff",
  "\u{1f468}\u200d'\"\\",
  "$[#]?:x",
  "",
];

/** What every store owes its users, as the in-memory store pays it. */
export function define_row_contract(backend: RowBackend): void {
  const open = async () => (await open_store(backend)).store;

  test("rules 20 and 21: generated changes and queries, judged by the in-memory store", async () => {
    const store = await open();
    const model = new InMemorySessionStore();
    const random = numbers_of(20);
    const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
    for (let round = 0; round < 120; round += 1) {
      const id = pick(IDS);
      if (random() < 0.1) {
        expect(await store.delete(id)).toBe(await model.delete(id));
      } else {
        const stored = (await model.load(id))?.messages ?? [];
        const added = Array.from({ length: Math.floor(random() * 3) }, (_, n) => text_message(`${round} ${n}`));
        const messages = random() < 0.6 ? [...stored, ...added] : added;
        const given = {
          updated_at: pick(DATES),
          created_at: pick([DATES[0], undefined]) ?? (stored.length > 0 ? undefined : DATES[1]),
          [pick(["label", "model", "custom", "unheard_of"])]: pick(VALUES),
          ...(random() < 0.3 && { label: pick(["mine", "other"]), label_source: pick(["auto", "user"]) }),
          ...(random() < 0.3 && { kind: pick(["root", "fork", "child", null]), parent_id: pick(["a", "b", null]) }),
          ...(random() < 0.2 && { id: "x", message_count: 99, damaged: "no", detached: random() < 0.5 }),
        };
        if ((await model.load(id)) === undefined) {
          given.created_at ??= DATES[2];
        }
        await model.save(id, messages, loose(given));
        await store.save(id, messages, loose(given));
      }
      const expected = await model.load(id);
      expect(await store.load(id)).toEqual(expected && { metadata: expected.metadata, messages: expected.messages });
      const before = pick([undefined, ...(await model.list())]);
      const query = {
        ...(random() < 0.5 && { limit: Math.floor(random() * 5) }),
        ...(random() < 0.3 && { parent_id: pick(["a", "b"]) }),
        ...(random() < 0.3 && { kinds: [pick(["root", "fork", "child"] as const)] }),
        ...(before && { before }),
      };
      expect(await store.list(query)).toEqual(await model.list(query));
    }
    expect(await store.list()).toEqual(await model.list());
    expect(await store.list()).not.toHaveLength(0);
  });

  test("rule 20: dates: the first is kept, the second is now, and the column is the metadata's", async () => {
    const { store, table } = await open_store(backend);
    const begun = new Date().toISOString();
    await store.save("s", [], { created_at: "2001-01-01T00:00:00.000Z" });
    await store.save("s", []);
    const { created_at, updated_at } = (await store.load("s"))?.metadata ?? {};
    expect(created_at).toBe("2001-01-01T00:00:00.000Z");
    expect([begun, updated_at, new Date().toISOString()].sort()[1]).toBe(updated_at);
    const column = (await raw_row(table, "s"))?.["updated_at"];
    expect(new Date(column as string | number).toISOString()).toBe(updated_at);
  });

  test("rule 22: nothing of the caller's is kept, what is handed out is the caller's, and input is taken at the call", async () => {
    const store = await open();
    const [messages, custom] = [[text_message("one", { extra: { list: [1] } })], { a: { b: [1] } }];
    const expected = JSON.stringify([messages, custom]);
    const saved = store.save("s", messages, { custom });
    messages.push(text_message("late"));
    custom.a.b.push(2);
    Object.assign(messages[0] ?? {}, { extra: "late" });
    await saved;
    const read = async () => {
      const session = await store.load("s");
      return { session, text: JSON.stringify([session?.messages, session?.metadata.custom]) };
    };
    const { session, text } = await read();
    expect(text).toBe(expected);
    session?.messages.push(text_message("mine"));
    Object.assign(session?.metadata.custom ?? {}, { a: "mine" });
    Object.assign((await store.list())[0] ?? {}, { custom: "mine" });
    expect((await read()).text).toBe(expected);
  });

  test("rule 23: no revision and no capability is claimed", async () => {
    const store = await open();
    await store.save("s", [text_message("one")]);
    expect(Object.keys((await store.load("s")) ?? {}).sort()).toEqual(["messages", "metadata"]);
    for (const name of ["append", "replace", "update", "flush", "set_draft"] as const) {
      expect(has_capability(store, name), name).toBe(false);
    }
  });

  test("rule 20: every text comes back as it was, in messages and metadata", async () => {
    const { store, table } = await open_store(backend);
    const messages = TEXTS.map((text) => text_message(text, { [`key ${text}`]: text, extended: HOSTILE }));
    const custom = Object.fromEntries([...TEXTS.map((text) => [text, text]), ["hostile", HOSTILE]]) as object;
    for (const count of [2, TEXTS.length, TEXTS.length]) {
      await store.save("s", messages.slice(0, count), loose({ custom, label: TEXTS.join("") }));
      const again = await backend.open(table).load("s");
      expect(JSON.stringify(again?.messages)).toBe(JSON.stringify(messages.slice(0, count)));
      expect(JSON.stringify(again?.metadata.custom)).toBe(JSON.stringify(custom));
      expect(again?.metadata.label).toBe(TEXTS.join(""));
      expect(await store.list()).toEqual([again?.metadata]);
    }
  });

  test("rule 20: a message of 5 MB comes back", async () => {
    const store = await open();
    const text = '€x\n\\"'.repeat(1_000_000);
    await store.save("s", [text_message("one")]);
    await store.save("s", [text_message("one"), text_message(text)]);
    const [, { content: [part] } = { content: [] }] = (await store.load("s"))?.messages ?? [];
    expect(part?.type === "text" && part.text === text).toBe(true);
  });

  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  test.each<[string, unknown, unknown]>([
    ["messages that are no array", { length: 0 }, {}],
    ["a null message", [null], {}],
    ["a hole", new Array(1), {}],
    ["a cycle", [text_message("x", cyclic)], {}],
    ["a BigInt", [text_message("x", { big: 1n })], {}],
    ["metadata that are a text", [], "text"],
    ["metadata that hold a cycle", [], { custom: cyclic }],
    ["a date that is a number", [], { updated_at: 5 }],
  ])("rule 25: %s: refused, and the old state stays", async (_, messages, metadata) => {
    const store = await open();
    expect(await outcome_of(store.save("new", messages as Message[], loose(metadata)))).toBe("invalid_input");
    await store.save("s", [text_message("one")], { label: "L" });
    const before = JSON.stringify([await store.load("s"), await store.list()]);
    expect(await outcome_of(store.save("s", messages as Message[], loose(metadata)))).toBe("invalid_input");
    expect(JSON.stringify([await store.load("s"), await store.list()])).toBe(before);
  });

  test("rule 25: an id that no column can hold is invalid, missing, and deletes nothing", async () => {
    const store = await open();
    await store.save("s", [text_message("one")]);
    for (const id of ["", null, undefined, 5, {}, "\ud800", "s\u0000"] as string[]) {
      expect(await outcome_of(store.save(id, [])), String(id)).toBe("invalid_id");
      expect(await store.load(id), String(id)).toBeUndefined();
      expect(await store.delete(id), String(id)).toBe(false);
    }
    expect((await store.list()).map(({ id }) => id)).toEqual(["s"]);
  });

  test.each([100, 1000, 2000, 4000, 8000])("rule 25: a depth of %i is refused, or comes back", async (depth) => {
    const store = await open();
    let deep: object = {};
    for (let n = 0; n < depth; n += 1) {
      deep = { a: deep };
    }
    const [kept, message] = [text_message("kept"), text_message("deep", { deep })];
    await store.save("s", [kept]);
    const result = await outcome_of(store.save("s", [kept, message]));
    expect(["done", "invalid_input"]).toContain(result);
    expect((await store.load("s"))?.messages).toHaveLength(result === "done" ? 2 : 1);
    if (result === "done") {
      await store.save("s", [kept, message, kept]);
      expect((await store.load("s"))?.messages).toHaveLength(3);
    }
  });

  test("rule 25: a limit that is no count is invalid input", async () => {
    const store = await open();
    for (const limit of [-1, 1.5, NaN]) {
      expect(await outcome_of(store.list({ limit }))).toBe("invalid_input");
    }
  });

  test("rule 20: what is asked for without waiting happens in the order asked for, and other sessions wait for nothing", async () => {
    const store = await open();
    const saves = Array.from({ length: 10 }, (_, n) =>
      store.save("s", [text_message(`${n}`)], loose({ [`k${n}`]: n })),
    );
    const others = Array.from({ length: 10 }, (_, n) => store.save(`other ${n}`, [text_message(`${n}`)]));
    const kept = Promise.all(saves).then(() => undefined);
    const deleted = store.delete("s");
    const last = store.save("s", [text_message("last")]);
    await Promise.all([kept, ...others, last]);
    expect(await deleted).toBe(true);
    const session = await store.load("s");
    expect(session?.messages).toEqual([text_message("last")]);
    expect(session?.metadata).not.toHaveProperty("k9");
    expect(await store.list()).toHaveLength(11);
  });

  test("rule 25: every method as the first call on a fresh store", async () => {
    expect(await (await open()).list()).toEqual([]);
    expect(await (await open()).load("s")).toBeUndefined();
    expect(await (await open()).delete("s")).toBe(false);
    const store = await open();
    await store.save("s", []);
    expect((await store.load("s"))?.metadata).toMatchObject({ id: "s", message_count: 0 });
  });

  test("rule 25: what the database throws is `storage`, with the cause, and no queue stays blocked", async () => {
    const { store, table } = await open_store(backend);
    await store.save("s", [text_message("one")]);
    await table.client.execute(`ALTER TABLE "${table.name}" RENAME TO elsewhere`);
    const calls = [() => store.list(), () => store.load("s"), () => store.save("s", []), () => store.delete("s")];
    for (const call of calls) {
      const error = await call().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SessionError);
      expect((error as SessionError).code).toBe("storage");
      expect((error as SessionError).cause).toBeInstanceOf(Error);
    }
    await table.client.execute(`ALTER TABLE elsewhere RENAME TO "${table.name}"`);
    expect((await store.load("s"))?.messages).toHaveLength(1);
    await store.save("s", []);
    expect((await store.load("s"))?.messages).toEqual([]);
  });
}
