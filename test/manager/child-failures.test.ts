import { expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { texts, turns } from "../support/messages.js";
import { open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

each_backend((backend) => {
  test.each(PROVIDERS)(
    "rule 4.3: a child whose first save fails keeps its parent and its messages, with %s",
    async (_name, provider_class) => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class });
      const id = manager.start_new();
      await manager.flush();
      store.fail_saves();
      const child = conversation.spawn_child();
      await ask(child, "one");
      await ask(child, "two");
      await manager.flush();
      const child_id = (await store.list()).find(({ parent_id }) => parent_id === id)?.id ?? "";
      const { metadata, messages } = await record_of(store, child_id);
      expect(messages).toEqual(child.messages);
      expect(metadata).toMatchObject({ parent_id: id, kind: "child", detached: true, usage: { requests: 2 } });
      expect(errors.map(({ context }) => context)).toEqual([{ session_id: child_id }]);
    },
  );

  test("rule 4.4: a child's errors are heard at the parent's manager, a grandchild's too", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    const child = conversation.spawn();
    const grandchild = child.spawn();
    await manager.flush();
    const entries = await store.list();
    const child_id = entries.find(({ parent_id }) => parent_id === id)?.id ?? "";
    const grandchild_id = entries.find(({ parent_id }) => parent_id === child_id)?.id ?? "";
    store.fail_saves({ id: child_id });
    store.fail_saves({ id: grandchild_id });
    child.turn("one");
    grandchild.turn("two");
    await manager.flush();
    expect(errors.map(({ operation, context }) => [operation, context])).toEqual([
      ["save", { session_id: child_id }],
      ["save", { session_id: grandchild_id }],
    ]);
    await manager.flush();
    expect(texts((await record_of(store, child_id)).messages)).toEqual(["one", "re: one"]);
    expect(texts((await record_of(store, grandchild_id)).messages)).toEqual(["two", "re: two"]);
  });

  test("rule 4.2: a child is stored though its parent cannot be", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    store.fail_saves({ id, times: Infinity });
    conversation.spawn().turn("alone");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    expect((await store.list()).map(({ parent_id, kind }) => [parent_id, kind])).toEqual([[id, "child"]]);
    expect(errors.map(({ context }) => context)).toEqual([{ session_id: id }]);
    store.heal();
    await manager.flush();
    expect((await record_of(store, id)).metadata.kind).toBe("root");
  });

  test("rule 4.3: flush() of the parent's manager tries again what a child could not store", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const child = conversation.spawn();
    await manager.flush();
    store.fail_saves({ times: 2 });
    child.turn("one");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    child.emit("dispose");
    await manager.flush();
    const child_id = (await store.list()).find(({ parent_id }) => parent_id === id)?.id ?? "";
    expect((await record_of(store, child_id)).messages).toEqual(child.messages);
  });

  test("rule 4.3: renaming a child's session loses nothing that the child saves meanwhile", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const child = conversation.spawn();
    child.turn("one");
    await manager.flush();
    const child_id = (await store.list()).find(({ parent_id }) => parent_id === id)?.id ?? "";
    const held = store.hold_answer(["update", "load"], { id: child_id });
    const renamed = manager.rename(child_id, "renamed");
    await held.reached;
    child.turn("two");
    await new Promise((resolve) => setImmediate(resolve));
    held.release();
    await renamed;
    await manager.flush();
    const { metadata, messages } = await record_of(store, child_id);
    expect(messages).toEqual(child.messages);
    expect(metadata.label).toBe("renamed");
  });

  test("rule 4: a child that begins while a session is being deleted holds nothing up", async () => {
    const store = await open_recording(backend);
    await store.save("other", turns(1));
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    const held = store.hold(["list", "load", "delete"]);
    const deleted = manager.delete("other");
    await held.reached;
    const child = conversation.spawn();
    child.turn("meanwhile");
    held.release();
    expect(await deleted).toBe(true);
    await manager.flush();
    const entry = (await store.list()).find(({ parent_id }) => parent_id === id);
    expect((await record_of(store, entry?.id ?? "")).messages).toEqual(child.messages);
  });
});
