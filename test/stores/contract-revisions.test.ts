import { describe, expect, test } from "vitest";
import { type FullStore, loaded, message, outcome_of, pick, seeded, STORES, texts_of } from "./helpers.js";

describe.each(STORES)("$name", ({ open }) => {
  async function filled(): Promise<{ store: FullStore; revision: string }> {
    const store = open();
    await store.save("s", [message("one")], { label: "L" });
    return { store, revision: (await loaded(store)).revision };
  }

  async function unchanged_by(store: FullStore, what: () => Promise<unknown>, code: string): Promise<void> {
    const before = JSON.stringify([await store.load("s"), await store.list()]);
    expect(await outcome_of(what())).toBe(code);
    expect(JSON.stringify([await store.load("s"), await store.list()])).toBe(before);
  }

  test("rule 23: append and replace return the revision that load tells", async () => {
    const { store, revision } = await filled();
    const appended = await store.append("s", [message("two")], { revision });
    expect(appended).toEqual({ revision: (await loaded(store)).revision });
    expect(appended.revision).not.toBe(revision);
    const replaced = await store.replace("s", [message("three")], appended);
    expect(replaced).toEqual({ revision: (await loaded(store)).revision });
    expect(texts_of((await loaded(store)).messages)).toEqual(["three"]);
  });

  test("rule 23: a revision that has passed is a conflict, and changes nothing", async () => {
    const { store, revision } = await filled();
    await store.append("s", [message("two")], { revision });
    const metadata = { label: "mine", model: "M" };
    for (const stale of [revision, "", "never", undefined as unknown as string]) {
      await unchanged_by(store, () => store.append("s", [message("x")], { revision: stale, metadata }), "conflict");
      await unchanged_by(store, () => store.append("s", [], { revision: stale, metadata }), "conflict");
      await unchanged_by(store, () => store.replace("s", [message("x")], { revision: stale, metadata }), "conflict");
    }
    await unchanged_by(store, () => store.replace("s", [], { revision: null, metadata }), "conflict");
  });

  test("rule 23: save moves the revision where it changes the messages", async () => {
    const { store, revision } = await filled();
    await store.save("s", [message("another")]);
    await unchanged_by(store, () => store.append("s", [message("x")], { revision }), "conflict");
  });

  test("rule 23: metadata, appends of nothing and flushes do not move it", async () => {
    const { store, revision } = await filled();
    const same = async () => expect((await loaded(store)).revision).toBe(revision);
    await store.update("s", { label: "new" });
    await same();
    await store.flush?.("s");
    await store.flush?.();
    await same();
    expect(await store.append("s", [], { revision })).toEqual({ revision });
    expect(await store.append("s", [], { revision, metadata: { model: "M" } })).toEqual({ revision });
    await same();
    const next = await store.append("s", [message("two")], { revision });
    await store.update("s", { label: "newer" });
    expect(await store.append("s", [], next)).toEqual(next);
    await store.flush?.("s");
    expect((await loaded(store)).revision).toBe(next.revision);
    await store.append("s", [message("three")], next);
    expect(texts_of((await loaded(store)).messages)).toEqual(["one", "two", "three"]);
    expect((await loaded(store)).metadata).toMatchObject({ label: "newer", model: "M", message_count: 3 });
  });

  test("rule 23: a session that is gone is not found, and stays gone", async () => {
    const { store, revision } = await filled();
    expect(await store.delete("s")).toBe(true);
    expect(await store.delete("s")).toBe(false);
    await unchanged_by(store, () => store.append("s", [message("x")], { revision }), "not_found");
    await unchanged_by(store, () => store.append("s", [], { revision }), "not_found");
    await unchanged_by(store, () => store.replace("s", [message("x")], { revision }), "not_found");
    expect(await store.update("s", { label: "x" })).toBe(false);
    expect([await store.load("s"), await store.list()]).toEqual([undefined, []]);
  });

  test("rule 23: a session made anew is not the one before, even with the same messages", async () => {
    const { store, revision } = await filled();
    await store.delete("s");
    const made = await store.replace("s", [message("two")], { revision: null, metadata: { model: "M" } });
    expect((await loaded(store)).metadata).not.toHaveProperty("label");
    await unchanged_by(store, () => store.append("s", [message("x")], { revision }), "conflict");
    await store.append("s", [message("three")], made);
    expect(texts_of((await loaded(store)).messages)).toEqual(["two", "three"]);
  });

  test("rule 23: of many that create one session, one does", async () => {
    const store = open();
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, n) => outcome_of(store.replace("s", [message(`${n}`)], { revision: null }))),
    );
    expect(made.filter((outcome) => outcome === "done")).toHaveLength(1);
    expect(made.filter((outcome) => outcome === "conflict")).toHaveLength(9);
    expect((await loaded(store)).messages).toHaveLength(1);
  });

  test("rule 23: equal revisions, equal messages, in generated histories", async () => {
    const random = seeded(23);
    const store = open();
    const seen = new Map<string, string>();
    const old: string[] = ["never"];
    let model: string[] | undefined;
    for (let round = 0; round < 150; round += 1) {
      const current = await store.load("s");
      const revision = random() < 0.7 && current?.revision ? current.revision : pick(random, ["never", ...old]);
      const expected = current === undefined ? "not_found" : revision === current.revision ? "done" : "conflict";
      const texts = pick(random, [[], [`${round}`], [`${round}`, "same"]]);
      const messages = texts.map((text) => message(text));
      switch (pick(random, ["append", "append", "replace", "save", "update", "flush", "delete", "create"])) {
        case "append":
          expect(await outcome_of(store.append("s", messages, { revision }))).toBe(expected);
          model = expected === "done" ? [...(model ?? []), ...texts] : model;
          break;
        case "replace":
          expect(await outcome_of(store.replace("s", messages, { revision }))).toBe(expected);
          model = expected === "done" ? texts : model;
          break;
        case "create":
          expect(await outcome_of(store.replace("s", messages, { revision: null }))).toBe(model ? "conflict" : "done");
          model ??= texts;
          break;
        case "save":
          await store.save("s", messages);
          model = texts;
          break;
        case "update":
          expect(await store.update("s", { label: `${round}` })).toBe(model !== undefined);
          break;
        case "flush":
          await store.flush?.(random() < 0.5 ? "s" : undefined);
          break;
        default:
          expect(await store.delete("s")).toBe(model !== undefined && random() >= 0);
          model = undefined;
      }
      const now = await store.load("s");
      expect(now && texts_of(now.messages)).toEqual(model);
      expect(now?.metadata.message_count).toBe(model?.length);
      if (now?.revision !== undefined) {
        const text = JSON.stringify(now.messages);
        expect(seen.get(now.revision) ?? text).toBe(text);
        seen.set(now.revision, text);
        old.push(now.revision);
      }
    }
  });
});
