import { describe, expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { ids, texts, turns } from "../support/messages.js";
import { contents_of, open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 1.2: 25 turns in a burst end complete and in order", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class });
      const id = manager.start_new();
      for (let turn = 1; turn <= 25; turn += 1) {
        await ask(conversation, `question ${turn}`);
      }
      await manager.flush();

      const { metadata, messages } = await record_of(store, id);
      expect(messages).toEqual(conversation.messages);
      expect(texts(messages.filter(({ role }) => role === "user"))).toEqual(
        Array.from({ length: 25 }, (_, index) => `question ${index + 1}`),
      );
      expect(metadata.message_count).toBe(50);
      expect(errors).toEqual([]);
    });

    test("rule 1.1: a turn that ends while a save is under way is saved behind it", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      await manager.flush();
      const held = store.hold_save();
      await ask(conversation, "first");
      await held.reached;
      await ask(conversation, "second");
      held.release();
      await manager.flush();
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    });
  });

  test("rule 1.4: a save stores what the conversation held when it was asked for", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, saves } = open_plain(store);
    const id = manager.start_new("captured");
    await manager.flush();
    const held = store.hold_save();
    conversation.turn("one");
    await held.reached;
    const saved = manager.save();
    conversation.messages.push(...turns(1, "later "));
    held.release();
    await saved;
    expect(texts((await record_of(store, id)).messages)).toEqual(["one", "re: one"]);
    expect(saves.map(({ messages }) => messages.length)).toEqual([0, 2, 2]);
  });

  test("rule 1.4: an explicit save stores messages as they were, though they are edited before it is written", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    const held = store.hold_save();
    const saved = manager.save();
    conversation.messages[0]!.content[0] = { type: "text", text: "edited" };
    conversation.messages.length = 1;
    await held.reached;
    held.release();
    await saved;
    expect((await record_of(store, id)).messages).toEqual(turns(1));
  });

  test("rule 1.6: save() resolves when its state is stored, not before", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    const held = store.hold_save();
    let resolved = false;
    const saved = manager.save().then(() => (resolved = true));
    await held.reached;
    await new Promise((resolve) => setImmediate(resolve));
    expect(resolved).toBe(false);
    expect(await store.load(id)).toBeUndefined();
    held.release();
    await saved;
    expect((await record_of(store, id)).messages).toEqual(turns(1));
  });

  test("rule 1.1: load, fork, rename and delete run behind what was asked for before them", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new();
    const held = store.hold_save({ id: first });
    conversation.turn("one");
    const second = manager.start_new();
    conversation.turn("two");
    const steps: string[] = [];
    const renamed = manager.rename(first, "renamed").then(() => steps.push("rename"));
    const loaded = manager.load(first).then(() => steps.push(`load ${conversation.messages.length}`));
    const forked = manager.fork(second).then((id) => (steps.push(`fork ${conversation.messages.length}`), id));
    const deleted = manager.delete(second).then((was_there) => steps.push(`delete ${String(was_there)}`));
    await held.reached;
    expect(steps).toEqual([]);
    held.release();
    await Promise.all([renamed, loaded, deleted]);
    expect(steps).toEqual(["rename", "load 2", "fork 2", "delete true"]);
    expect(texts(conversation.messages)).toEqual(["two", "re: two"]);
    expect([...(await contents_of(store)).keys()].sort()).toEqual([first, await forked].sort());
    expect((await record_of(store, first)).metadata.label).toBe("renamed");
  });

  test("rule 1.1: a task that fails stops none behind it", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const detached = manager.fork("missing", { detached: true });
    const failures = [manager.rename("missing", "x"), detached, manager.rename("missing", "y")].map((task) =>
      task.then(
        () => "resolved",
        (error: Error) => error.message,
      ),
    );
    conversation.turn("one");
    const deleted = manager.delete("missing");
    expect(await Promise.all(failures)).toEqual(Array(3).fill("session not found: missing"));
    expect(await deleted).toBe(false);
    expect(texts((await record_of(store, id)).messages)).toEqual(["one", "re: one"]);
  });

  test("rule 1.5: waiting auto-saves collapse into the newest", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, saves } = open_plain(store);
    const id = manager.start_new();
    const held = store.hold_save();
    await held.reached;
    for (const text of ["one", "two", "three"]) {
      conversation.turn(text);
    }
    held.release();
    await manager.flush();
    expect(store.writes().map(({ messages }) => messages?.length)).toEqual([0, 6]);
    expect(saves.map(({ messages }) => messages.length)).toEqual([0, 6]);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 1.5: an auto-save does not collapse across an explicit save", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, saves } = open_plain(store);
    const id = manager.start_new();
    const held = store.hold_save();
    await held.reached;
    conversation.turn("one");
    const saved = manager.save();
    conversation.turn("two");
    held.release();
    await saved;
    await manager.flush();
    expect(saves.map(({ messages }) => messages.length)).toEqual([0, 2, 2, 4]);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 1.5: an auto-save does not collapse into one that does not continue it", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, saves } = open_plain(store);
    const id = manager.start_new();
    const held = store.hold_save();
    await held.reached;
    conversation.turn("one");
    conversation.clear();
    conversation.turn("instead");
    held.release();
    await manager.flush();
    expect(saves.map(({ messages }) => texts(messages)?.[0])).toEqual([undefined, "one", "instead"]);
    expect(texts((await record_of(store, id)).messages)).toEqual(["instead", "re: instead"]);
  });

  test("rule 1.5: auto-saves of two sessions do not collapse", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new();
    const held = store.hold_save();
    await held.reached;
    conversation.turn("one");
    const second = manager.start_new();
    conversation.turn("two");
    held.release();
    await manager.flush();
    expect(texts((await record_of(store, first)).messages)).toEqual(["one", "re: one"]);
    expect(texts((await record_of(store, second)).messages)).toEqual(["two", "re: two"]);
  });

  test("rule 1.7: start_new() without label and auto_save writes nothing, nor does a turn", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.turn("unsaved");
    conversation.emit("checkpoint_complete");
    await manager.flush();
    expect(store.writes()).toEqual([]);
    expect([manager.current_session_id, manager.is_loaded]).toEqual([id, true]);
  });

  test("rule 1.7: start_new() with a label or auto_save writes the record in the background", async () => {
    const store = await open_recording(backend);
    const labelled = open_plain(store, { auto_save: false });
    const first = labelled.manager.start_new("mine");
    await labelled.manager.flush();
    expect((await record_of(store, first)).metadata).toMatchObject({
      label: "mine",
      label_source: "user",
      kind: "root",
      message_count: 0,
    });
    const saving = open_plain(store);
    const second = saving.manager.start_new();
    expect(second).not.toBe(first);
    await saving.manager.flush();
    const { metadata } = await record_of(store, second);
    expect(metadata).toMatchObject({ kind: "root", message_count: 0 });
    expect(metadata).not.toHaveProperty("label");
  });

  test("rule 1.6: without an active session nothing is written, and save() says so", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    conversation.turn("unheard");
    await expect(manager.save()).rejects.toMatchObject({ message: "no active session", code: "invalid_state" });
    await manager.flush();
    expect([manager.current_session_id, manager.is_loaded]).toEqual([undefined, false]);
    expect(store.writes()).toEqual([]);
    expect(errors).toMatchObject([{ operation: "save", error: { code: "invalid_state" } }]);
  });

  test("rule 1.1: list() tells of everything asked for before it, in the store's own order", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new("first");
    conversation.turn("one");
    const second = manager.start_new("second");
    const entries = await manager.list();
    expect(ids(entries)).toEqual(ids(await store.list()));
    expect(ids(entries)?.sort()).toEqual([first, second].sort());
    expect(entries.find(({ id }) => id === first)?.message_count).toBe(2);
  });
});
