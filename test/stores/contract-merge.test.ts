import type { SessionMetadata } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { type FullStore, loaded, loose, message, pick, seeded, STORES } from "./helpers.js";

type Metadata = Partial<SessionMetadata>;

/** Every way in which metadata reach a session that is there. */
const WAYS: { way: string; give: (store: FullStore, metadata: Metadata) => Promise<unknown> }[] = [
  { way: "save", give: (store, metadata) => store.save("s", [message("new")], metadata) },
  { way: "replace", give: async (store, metadata) => store.replace("s", [], { ...(await at(store)), metadata }) },
  {
    way: "append",
    give: async (store, metadata) => store.append("s", [message("more")], { ...(await at(store)), metadata }),
  },
  {
    way: "append of nothing",
    give: async (store, metadata) => store.append("s", [], { ...(await at(store)), metadata }),
  },
  { way: "update", give: (store, metadata) => store.update("s", metadata) },
  {
    way: "update behind an append",
    give: async (store, metadata) => {
      await store.append("s", [message("more")], await at(store));
      return store.update("s", metadata);
    },
  },
];

async function at(store: FullStore): Promise<{ revision: string }> {
  return { revision: (await loaded(store)).revision };
}

async function metadata_of(store: FullStore): Promise<Record<string, unknown>> {
  const { metadata } = await loaded(store);
  expect(await store.list(), "list and load agree").toEqual([metadata]);
  return { ...metadata };
}

describe.each(STORES)("$name", ({ open }) => {
  describe.each(WAYS)("$way", ({ give }) => {
    async function after(stored: unknown, given: unknown): Promise<Record<string, unknown>> {
      const store = open();
      await store.save("s", [message("first")], loose(stored));
      await give(store, loose(given));
      return metadata_of(store);
    }

    test("rule 20: keys that nobody knows survive, and a value is replaced as a whole", async () => {
      const result = await after(
        { unheard_of: { a: [1, null] }, custom: { a: 1, b: 2 } },
        { custom: { b: 3 }, also: 0 },
      );
      expect(result).toMatchObject({ unheard_of: { a: [1, null] }, also: 0 });
      expect(result["custom"]).toEqual({ b: 3 });
    });

    test("rule 20: null removes a key, and only at the top", async () => {
      const result = await after({ label: "L", model: "M", custom: { a: 1 } }, { label: null, custom: { a: null } });
      expect(result).not.toHaveProperty("label");
      expect(result).toMatchObject({ model: "M", custom: { a: null } });
    });

    test("rule 20: undefined wipes nothing", async () => {
      const result = await after({ label: "L", custom: { a: 1 } }, { label: undefined, custom: undefined, model: "M" });
      expect(result).toMatchObject({ label: "L", custom: { a: 1 }, model: "M" });
    });

    test("rule 20: an automatic label never replaces a user's, whatever comes with it", async () => {
      const user = { label: "mine", label_source: "user" };
      expect(await after(user, { label: "auto", label_source: "auto", model: "M" })).toMatchObject({
        ...user,
        model: "M",
      });
      expect(await after(user, { label: null, label_source: "auto" })).toMatchObject(user);
      expect(await after({ label: "auto", label_source: "auto" }, user)).toMatchObject(user);
      expect(await after(user, { label: "newer", label_source: "user" })).toMatchObject({ label: "newer" });
    });

    test("rule 20: the kind is never changed", async () => {
      expect(await after({ kind: "fork" }, { kind: "root" })).toMatchObject({ kind: "fork" });
      expect(await after({ kind: "fork" }, { kind: null })).toMatchObject({ kind: "fork" });
    });

    test("rule 20: dates that are given win; otherwise the first is kept and the second is now", async () => {
      const old = { created_at: "2001-01-01T00:00:00.000Z", updated_at: "2002-01-01T00:00:00.000Z" };
      const given = { created_at: "2003-01-01T00:00:00.000Z", updated_at: "2004-01-01T00:00:00.000Z" };
      expect(await after(old, given)).toMatchObject(given);
      const begun = new Date().toISOString();
      const { created_at, updated_at } = await after(old, { model: "M", created_at: undefined });
      expect(created_at).toBe(old.created_at);
      expect([begun, updated_at, new Date().toISOString()].sort()[1]).toBe(updated_at);
      const kept = await after(old, { created_at: null, updated_at: null });
      expect(kept["created_at"]).toBe(old.created_at);
      expect(String(kept["updated_at"]) >= begun).toBe(true);
    });

    test("rule 20: id and count are the store's own, and `damaged` is never stored", async () => {
      const result = await after({ id: "x", message_count: 99 }, { id: "y", message_count: 77, damaged: "no" });
      expect(result["id"]).toBe("s");
      expect(result["message_count"]).toBeLessThan(4);
      expect(result).not.toHaveProperty("damaged");
    });

    test("rule 20: `detached: false` is kept as it is given", async () => {
      expect(await after({ detached: true }, { detached: false })).toMatchObject({ detached: false });
      expect(await after({ detached: false }, { model: "M" })).toMatchObject({ detached: false });
    });

    test("rule 20: a key `__proto__` is a key like any other", async () => {
      const hostile: unknown = JSON.parse('{"__proto__":{"polluted":1},"custom":{"__proto__":{"polluted":2}}}');
      for (const result of [await after(hostile, { model: "M" }), await after({}, hostile)]) {
        expect(Object.getOwnPropertyDescriptor(result, "__proto__")?.value).toEqual({ polluted: 1 });
        expect(JSON.stringify(result["custom"])).toBe('{"__proto__":{"polluted":2}}');
        expect(result["polluted"]).toBeUndefined();
      }
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    });
  });

  test("rule 20: a change of nothing at all still is one, now", async () => {
    const store = open();
    await store.save("s", [message("first")], { updated_at: "2002-01-01T00:00:00.000Z" });
    await store.update("s", {});
    expect((await metadata_of(store))["updated_at"]).not.toBe("2002-01-01T00:00:00.000Z");
  });

  test("rule 20: a key `__proto__` in a message comes back as a key", async () => {
    const store = open();
    const hostile = message("x", JSON.parse('{"__proto__":{"polluted":1}}') as object);
    Object.defineProperty(hostile, "__proto__", { value: { polluted: 1 }, enumerable: true });
    await store.save("s", [hostile]);
    await store.append("s", [hostile], await at(store));
    const text = JSON.stringify(hostile);
    expect(text).toContain("__proto__");
    expect(JSON.stringify((await loaded(store)).messages)).toBe(`[${text},${text}]`);
  });

  test("rule 20: generated changes, judged by an oracle", async () => {
    const random = seeded(20);
    const store = open();
    const keys = ["label", "model", "custom", "kind", "x"] as const;
    const values = ["a", "b", { n: 1 }, { n: [2, { m: null }] }, null, undefined, false, 0, ""] as const;
    await store.save("s", []);
    let model: Record<string, unknown> = {};
    for (let round = 0; round < 60; round += 1) {
      const given: Record<string, unknown> = {};
      for (let n = 0; n < 3; n += 1) {
        given[pick(random, keys)] = pick<unknown>(random, values);
      }
      model = oracle(model, given);
      await pick(random, WAYS as [(typeof WAYS)[0]]).give(store, loose(given));
      const { id, created_at, updated_at, message_count, ...rest } = await metadata_of(store);
      expect(typeof created_at + typeof updated_at + typeof message_count + String(id)).toBe("stringstringnumbers");
      expect(rest).toEqual(model);
    }
  });
});

function oracle(stored: Record<string, unknown>, given: Record<string, unknown>): Record<string, unknown> {
  const all = { ...stored };
  for (const [key, value] of Object.entries(given)) {
    if (value === null && !(key === "kind" && "kind" in stored)) delete all[key];
    else if (value !== undefined && !(key === "kind" && "kind" in stored)) all[key] = value;
  }
  return all;
}
