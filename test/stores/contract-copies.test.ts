import type { StoredSession } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { type FullStore, loaded, loose, message, STORES } from "./helpers.js";

/** Overwrites everything in an object that can be overwritten, at every depth. */
function spoil(value: unknown): void {
  if (typeof value !== "object" || value === null) {
    return;
  }
  for (const key of Object.keys(value)) {
    spoil((value as Record<string, unknown>)[key]);
    (value as Record<string, unknown>)[key] = "spoilt";
  }
  if (Array.isArray(value)) {
    value.length = 0;
  }
}

const input = () => [message("one"), message("two", { extended: { deep: [1, { two: 2 }] } })];
const metadata = () => loose({ label: "L", custom: { a: { b: [1, 2] } }, usage: { requests: 1, input_tokens: 2 } });

/** Everything that puts something in, with nothing awaited in between. */
const PUTS: { way: string; put: (store: FullStore, revision: string) => [Promise<unknown>, ...unknown[]] }[] = [
  {
    way: "save",
    put: (store) => {
      const [messages, given] = [input(), metadata()];
      return [store.save("s", messages, given), messages, given];
    },
  },
  {
    way: "replace",
    put: (store, revision) => {
      const [messages, options] = [input(), { revision, metadata: metadata() }];
      return [store.replace("s", messages, options), messages, options];
    },
  },
  {
    way: "append",
    put: (store, revision) => {
      const [messages, options] = [input().slice(1), { revision, metadata: metadata() }];
      return [store.append("s", messages, options), messages, options];
    },
  },
  {
    way: "update",
    put: (store) => {
      const given = metadata();
      return [store.update("s", given), given];
    },
  },
];

describe.each(STORES)("$name", ({ open }) => {
  async function filled(): Promise<FullStore> {
    const store = open();
    await store.save("s", input().slice(0, 1), { label: "old" });
    return store;
  }

  function without_dates({ metadata: { created_at, updated_at, ...rest }, messages }: StoredSession) {
    expect(typeof created_at + typeof updated_at).toBe("stringstring");
    return JSON.stringify([rest, messages]);
  }

  test.each(PUTS)("rule 22: $way keeps nothing of the caller's, and takes it as it is at the call", async ({ put }) => {
    const [store, untouched] = [await filled(), await filled()];
    await put(untouched, (await loaded(untouched)).revision)[0];
    const expected = without_dates(await loaded(untouched));

    const [first, ...given] = put(store, (await loaded(store)).revision);
    given.forEach(spoil);
    await first;
    expect(without_dates(await loaded(store))).toBe(expected);

    await put(store, (await loaded(store)).revision)[0];
    const again = without_dates(await loaded(store));
    const [second, ...later] = put(store, (await loaded(store)).revision);
    await second;
    const before = JSON.stringify(await loaded(store));
    later.forEach(spoil);
    expect(JSON.stringify(await loaded(store))).toBe(before);
    expect(again).toContain('"label":"L"');
  });

  test("rule 22: what load and list hand out is the caller's own", async () => {
    const store = await filled();
    const { revision } = await loaded(store);
    const result = await store.append("s", input(), { revision, metadata: metadata() });
    const before = JSON.stringify([await loaded(store), await store.list()]);
    const handed_out = [await loaded(store), await store.list(), await store.list({ limit: 1 }), result];
    handed_out.forEach(spoil);
    expect(JSON.stringify([await loaded(store), await store.list()])).toBe(before);
    await store.update("s", { model: "M" });
    const { label, custom, model } = (await loaded(store)).metadata;
    expect({ label, custom, model }).toEqual({ label: "L", custom: { a: { b: [1, 2] } }, model: "M" });
    expect((await loaded(store)).messages).toHaveLength(3);
  });

  test("rule 22: two callers of load share nothing", async () => {
    const store = await filled();
    const [a, b] = [await loaded(store), await loaded(store)];
    expect(a).toEqual(b);
    spoil(a);
    expect(b.messages).toEqual(input().slice(0, 1));
    expect(b.metadata.label).toBe("old");
  });

  test("rule 22: frozen input is fine, and is not changed", async () => {
    const store = open();
    const messages = Object.freeze(input().map((one) => Object.freeze(one)));
    const before = JSON.stringify(messages);
    await store.save("s", messages as unknown as Parameters<FullStore["save"]>[1], Object.freeze(metadata()));
    const { revision } = await loaded(store);
    await store.append("s", messages as unknown as Parameters<FullStore["append"]>[1], Object.freeze({ revision }));
    expect(JSON.stringify(messages)).toBe(before);
    expect((await loaded(store)).messages).toHaveLength(4);
  });
});
