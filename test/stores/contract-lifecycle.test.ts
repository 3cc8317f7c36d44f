import { describe, expect, test } from "vitest";
import { type FullStore, loaded, message, outcome_of, STORES, texts_of } from "./helpers.js";

/** Every operation as the first one that a store sees, and what it comes to. */
const FIRST: [string, (store: FullStore) => Promise<unknown>, unknown][] = [
  ["list", (store) => store.list(), []],
  ["load", (store) => store.load("s"), undefined],
  ["delete", (store) => store.delete("s"), false],
  ["update", (store) => store.update("s", { label: "x" }), false],
  ["append", (store) => outcome_of(store.append("s", [message("x")], { revision: "x" })), "not_found"],
  ["replace", (store) => outcome_of(store.replace("s", [], { revision: "x" })), "not_found"],
  ["flush of one", (store) => store.flush?.("s") ?? Promise.resolve(), undefined],
  ["flush of all", (store) => store.flush?.() ?? Promise.resolve(), undefined],
  ["save", (store) => store.save("other", []), undefined],
  ["replace of nothing", (store) => outcome_of(store.replace("other", [], { revision: null })), "done"],
];

describe.each(STORES)("$name", ({ open }) => {
  test.each(FIRST)(
    "rule 25: %s as the first call on a fresh store, and as the first ten at once",
    async (_, call, result) => {
      const store = open();
      expect(await call(store)).toEqual(result);
      expect(await store.load("s")).toBeUndefined();
      await store.save("s", [message("one")]);
      await store.append("s", [message("two")], { revision: (await loaded(store)).revision });
      expect(texts_of((await loaded(store)).messages)).toEqual(["one", "two"]);

      const busy = open();
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => outcome_of(call(busy))));
      expect(outcomes).toEqual(Array(10).fill("done"));
      await busy.save("s", [message("one")]);
      expect((await loaded(busy)).messages).toHaveLength(1);
    },
  );

  test("rule 23: of 200 operations at once on one store none is lost, and nothing is torn", async () => {
    const store = open();
    const ids = ["a", "b", "c", "d", "e"];
    await Promise.all(ids.map((id) => store.save(id, [message(`${id} begins`)])));
    const append = async (id: string, text: string): Promise<void> => {
      for (;;) {
        const { revision } = await loaded(store, id);
        const outcome = await outcome_of(store.append(id, [message(text)], { revision }));
        if (outcome === "done") {
          return;
        }
        expect(outcome).toBe("conflict");
      }
    };
    const all = Array.from({ length: 200 }, async (_, n) => {
      const id = ids[n % 5] ?? "a";
      if (n % 20 < 6) return append(id, `${id} ${n}`);
      if (n % 20 < 12) return store.update(id, { custom: { n } });
      if (n % 20 < 16) return store.flush?.(n % 2 === 0 ? id : undefined);
      if (n % 20 < 18) return expect(texts_of((await loaded(store, id)).messages)[0]).toBe(`${id} begins`);
      return expect(await store.list()).toHaveLength(5);
    });
    await Promise.all(all);
    for (const [position, id] of ids.entries()) {
      const appended = Array.from({ length: 200 }, (_, n) => n).filter((n) => n % 20 < 6 && n % 5 === position);
      const texts = texts_of((await loaded(store, id)).messages);
      expect(texts).toHaveLength(1 + appended.length);
      expect(new Set(texts)).toEqual(new Set([`${id} begins`, ...appended.map((n) => `${id} ${n}`)]));
    }
  });

  test("rule 23: saves that are asked for without waiting happen in the order asked for", async () => {
    const store = open();
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.save("s", [message(`${n}`)], { model: `${n}` })));
    const { messages, metadata } = await loaded(store);
    expect(texts_of(messages)).toEqual(["19"]);
    expect(metadata.model).toBe("19");
  });

  test("rule 23: a save that is asked for behind a delete is not deleted", async () => {
    const store = open();
    await store.save("s", [message("one")], { model: "M" });
    const [deleted] = await Promise.all([store.delete("s"), store.save("s", [message("two")])]);
    expect(deleted).toBe(true);
    const { messages, metadata } = await loaded(store);
    expect(texts_of(messages)).toEqual(["two"]);
    expect(metadata).not.toHaveProperty("model");
  });

  test("rule 23: an update that is asked for behind the save of a new session finds it", async () => {
    const store = open();
    const [, updated] = await Promise.all([store.save("s", []), store.update("s", { label: "L" })]);
    expect(updated).toBe(true);
    expect((await loaded(store)).metadata.label).toBe("L");
  });

  test("rule 23: an update that is asked for behind a delete finds nothing", async () => {
    const store = open();
    await store.save("s", []);
    const [, updated] = await Promise.all([store.delete("s"), store.update("s", { label: "L" })]);
    expect([updated, await store.load("s")]).toEqual([false, undefined]);
  });
});
