import type { UserMessage } from "@simulacra-ai/core";
import type { SessionDraft } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { type FullStore, loaded, loose, message, outcome_of, STORES } from "./helpers.js";

const DATE = "2026-01-02T03:04:05.678Z";

function draft(text: string, partial?: string): SessionDraft {
  const answer = partial === undefined ? {} : { partial: { role: "assistant" as const, content: [text_of(partial)] } };
  return { prompt: message(text) as UserMessage, ...answer, updated_at: DATE };
}

function text_of(text: string) {
  return { type: "text" as const, text };
}

const reply = (text: string) => message(text, { role: "assistant" });

describe.each(STORES)("$name", ({ open }) => {
  async function with_draft(of: SessionDraft): Promise<FullStore> {
    const store = open();
    await store.save("s", [message("one"), reply("re: one")]);
    await store.set_draft("s", of);
    return store;
  }

  const draft_in = async (store: FullStore) => (await loaded(store)).draft;

  test("rule 26: load hands a draft over, the last one, until it is removed", async () => {
    const store = await with_draft(draft("two"));
    expect(await draft_in(store)).toEqual(draft("two"));
    await store.set_draft("s", draft("two", "as far as"));
    expect(await draft_in(store)).toEqual(draft("two", "as far as"));
    await store.set_draft("s", undefined);
    expect(await loaded(store)).not.toHaveProperty("draft");
    await store.set_draft("s", undefined);
  });

  test("rule 26: a draft moves neither revision nor metadata, and they leave it alone", async () => {
    const store = await with_draft(draft("two"));
    const before = await loaded(store);
    await store.set_draft("s", draft("two", "as far as"));
    const { revision, metadata } = await loaded(store);
    expect([revision, metadata]).toEqual([before.revision, before.metadata]);
    await store.update("s", { label: "L" });
    await store.flush?.();
    expect(await draft_in(store)).toEqual(draft("two", "as far as"));
    expect(await store.list()).toHaveLength(1);
  });

  test("rule 26: what is handed over, in or out, is a copy", async () => {
    const given = draft("two", "as far as");
    const store = await with_draft(given);
    given.prompt.content.length = 0;
    const taken = await draft_in(store);
    taken?.prompt.content.splice(0);
    expect(await draft_in(store)).toEqual(draft("two", "as far as"));
  });

  const turn = [message("two"), reply("re: two")];

  test.each([
    ["append", async (store: FullStore) => store.append("s", turn, await loaded(store))],
    ["save", (store: FullStore) => store.save("s", turn)],
    ["replace", async (store: FullStore) => store.replace("s", turn, await loaded(store))],
  ] as [string, (store: FullStore) => Promise<unknown>][])(
    "rule 26: %s of its turn makes a draft void, whichever is written first",
    async (_, store_turn) => {
      const before = await with_draft(draft("two", "as far as"));
      await store_turn(before);
      expect(await loaded(before)).not.toHaveProperty("draft");
      await before.save("s", []);
      expect(await loaded(before)).not.toHaveProperty("draft"); // gone, not only hidden

      const after = open();
      await after.save("s", [message("one")]);
      await store_turn(after);
      await after.set_draft("s", draft("two", "as far as"));
      expect(await loaded(after)).not.toHaveProperty("draft");
    },
  );

  test("rule 26: an older turn does not take a newer draft", async () => {
    const store = await with_draft(draft("three"));
    await store.append("s", turn, await loaded(store));
    await store.save("s", [message("one"), ...turn]);
    expect(await draft_in(store)).toEqual(draft("three"));
  });

  test.each([
    ["save", (store: FullStore) => store.save("s", [])],
    ["replace", async (store: FullStore) => store.replace("s", [], await loaded(store))],
  ] as [string, (store: FullStore) => Promise<unknown>][])(
    "rule 26: a draft that was void does not come back where %s cuts its turn away",
    async (_, cut) => {
      for (const flush of ["flush", "none"]) {
        const store = open();
        await store.save("s", turn);
        await store.set_draft("s", draft("two"));
        if (flush === "flush") {
          await store.flush?.("s");
        }
        await cut(store);
        expect(await loaded(store)).not.toHaveProperty("draft");
        await store.set_draft("s", draft("two"));
        expect(await draft_in(store)).toEqual(draft("two")); // asked for again
      }
    },
  );

  test("rule 26: deleting a session deletes its draft", async () => {
    const store = await with_draft(draft("two"));
    await store.delete("s");
    expect(await outcome_of(store.set_draft("s", draft("two")))).toBe("not_found");
    await store.set_draft("s", undefined);
    await store.save("s", []);
    expect(await loaded(store)).not.toHaveProperty("draft");
  });

  test("rule 26: what is no draft is refused, and the one before stays", async () => {
    const store = await with_draft(draft("two"));
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    for (const bad of [
      null,
      {},
      { prompt: null, updated_at: DATE },
      { prompt: {} },
      { ...draft("x"), partial: cyclic },
    ]) {
      expect(await outcome_of(store.set_draft("s", loose(bad) as unknown as SessionDraft))).toBe("invalid_input");
    }
    expect(await draft_in(store)).toEqual(draft("two"));
  });
});
