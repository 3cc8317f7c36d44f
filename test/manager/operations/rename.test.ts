import { describe, expect, test } from "vitest";
import { each_backend } from "../../backends.js";
import { ask, PROVIDERS } from "../../core/helpers.js";
import { texts, turns } from "../../support/messages.js";
import {
  contents_of,
  metadata_of,
  open_backend,
  open_plain,
  open_session,
  record_of,
} from "../../support/open-session.js";
import { RecordingStore } from "../../support/recording-store.js";

each_backend((backend) => {
  describe.each([
    ["with update", []],
    ["without update", ["update"]],
  ] as const)("%s", (_what, without) => {
    const open_store = async () => new RecordingStore((await open_backend(backend)).store, without);

    test("rule 12: rename gives a session the user's label, and touches nothing else", async () => {
      const store = await open_store();
      await store.save("other", turns(2), { kind: "root", label: "old", label_source: "auto", custom: { a: 1 } });
      const { manager } = open_plain(store);
      await manager.rename("other", "new");
      const { metadata, messages } = await record_of(store, "other");
      expect(metadata).toMatchObject({ label: "new", label_source: "user", kind: "root", custom: { a: 1 } });
      expect(messages).toEqual(turns(2));
      expect(manager.is_loaded).toBe(false);
    });

    test("rule 12: it goes through update, where the store has it", async () => {
      const store = await open_store();
      await store.save("other", turns(1));
      const { manager } = open_plain(store);
      store.forget_calls();
      await manager.rename("other", "new");
      const expected = store.update ? ["update"] : ["load", store.replace ? "replace" : "save"];
      expect(store.calls.map(({ method }) => method)).toEqual(expected);
      expect(store.writes()[0]?.metadata).toEqual({ label: "new", label_source: "user" });
    });

    test.each(PROVIDERS)("rule 12: a rename during auto-save loses nothing, with %s", async (_name, provider_class) => {
      const store = await open_store();
      const { manager, conversation, errors } = open_session(store, { provider_class });
      const id = manager.start_new();
      const renamed: Promise<void>[] = [];
      for (let turn = 1; turn <= 8; turn += 1) {
        await ask(conversation, `turn ${turn}`);
        renamed.push(manager.rename(id, `label ${turn}`));
      }
      await Promise.all(renamed);
      await manager.flush();
      const { metadata, messages } = await record_of(store, id);
      expect(messages).toEqual(conversation.messages);
      expect(metadata).toMatchObject({ label: "label 8", label_source: "user", message_count: 16 });
      expect(errors).toEqual([]);
    });

    test("rule 12: a turn that ends while a rename is under way is stored behind it", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      conversation.turn("one");
      await manager.flush();
      const held = store.hold_answer(["update", "load"]);
      const renamed = manager.rename(id, "renamed");
      await held.reached;
      conversation.turn("two");
      held.release();
      await renamed;
      await manager.flush();
      const { metadata, messages } = await record_of(store, id);
      expect(texts(messages)).toEqual(["one", "re: one", "two", "re: two"]);
      expect(metadata.label).toBe("renamed");
    });

    test("rule 12: a missing id is not_found, and nothing is written", async () => {
      const store = await open_store();
      const { manager } = open_plain(store);
      await expect(manager.rename("missing", "new")).rejects.toMatchObject({
        name: "SessionError",
        code: "not_found",
        message: "session not found: missing",
      });
      expect(await contents_of(store)).toEqual(new Map());
    });

    test("rule 12: a session that is not stored yet takes the label with its first write", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store, { auto_save: false });
      const id = manager.start_new();
      await manager.rename(id, "early");
      conversation.turn("one");
      await manager.save();
      expect(await metadata_of(store, id)).toMatchObject({ label: "early", label_source: "user" });
    });

    test("rule 12: no automatic label replaces the user's", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      await manager.rename(id, "mine");
      conversation.turn("not this");
      await manager.flush();
      expect(await metadata_of(store, id)).toMatchObject({ label: "mine", label_source: "user" });
    });

    test("rule 12: the name outlives an automatic label that waits to be stored", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      await manager.flush();
      const held = store.hold_save();
      conversation.turn("automatic");
      const renamed = manager.rename(id, "mine");
      conversation.turn("more");
      await held.reached;
      held.release();
      await renamed;
      await manager.flush();
      expect(await metadata_of(store, id)).toMatchObject({ label: "mine", label_source: "user" });
    });

    test("rule 12: the name outlives an automatic label that could not be stored", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      await manager.flush();
      store.fail_saves();
      conversation.turn("automatic");
      await manager.rename(id, "mine");
      await manager.flush();
      const { metadata, messages } = await record_of(store, id);
      expect(metadata).toMatchObject({ label: "mine", label_source: "user" });
      expect(messages).toEqual(conversation.messages);
    });

    test("rule 12: the name of a child's session stays when the child says its first words", async () => {
      const store = await open_store();
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      const child = conversation.spawn();
      await manager.flush();
      const child_id = (await store.list()).find(({ parent_id }) => parent_id === id)?.id ?? "";
      await manager.rename(child_id, "mine");
      child.turn("not this");
      await manager.flush();
      expect(await metadata_of(store, child_id)).toMatchObject({ label: "mine", label_source: "user" });
    });
  });
});
