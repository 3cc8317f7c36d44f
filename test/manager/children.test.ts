import { type Conversation, deferred } from "@simulacra-ai/core";
import type { SessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { ids } from "../support/messages.js";
import { open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

async function children_of(store: SessionStore, parent_id: string) {
  const entries = (await store.list()).filter((entry) => entry.parent_id === parent_id);
  return Promise.all(entries.map(({ id }) => record_of(store, id)));
}

async function only_child_of(store: SessionStore, parent_id: string) {
  const children = await children_of(store, parent_id);
  expect(children).toHaveLength(1);
  return children[0]!;
}

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 4.2: a child has a session of its own, a detached fork of the parent's", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      await ask(conversation, "to the parent");
      const child = conversation.spawn_child();
      await ask(child, "to the child");
      await manager.flush();
      const { metadata, messages } = await only_child_of(store, id);
      expect(metadata).toMatchObject({ parent_id: id, detached: true, kind: "child", label: "to the child" });
      expect(metadata).not.toHaveProperty("is_checkpoint");
      expect(messages).toEqual(child.messages);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    });

    test("rule 4.3: two parallel children that begin with the parent's messages end whole, each", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class });
      const id = manager.start_new();
      await ask(conversation, "shared");
      const children = [conversation.spawn_child(true), conversation.spawn_child(true)];
      await Promise.all(
        children.map(async (child, index) => {
          await ask(child, `child ${index}`);
          await ask(child, `child ${index} again`);
        }),
      );
      await manager.flush();
      const stored = await children_of(store, id);
      expect(stored.map(({ messages }) => ids(messages)).sort()).toEqual(
        children.map(({ messages }) => ids(messages)).sort(),
      );
      expect(stored.map(({ metadata }) => [metadata.message_count, metadata.detached])).toEqual([
        [6, true],
        [6, true],
      ]);
      expect((await record_of(store, id)).messages).toHaveLength(2);
      expect(errors).toEqual([]);
    });

    test("rule 4.2: a grandchild names the child", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      const child = conversation.spawn_child();
      const grandchild = child.spawn_child();
      await ask(grandchild, "deep");
      await ask(child, "middle");
      await manager.flush();
      const stored = await only_child_of(store, id);
      expect(stored.messages).toEqual(child.messages);
      const below = await only_child_of(store, stored.metadata.id);
      expect(below.messages).toEqual(grandchild.messages);
      expect(below.metadata).toMatchObject({ kind: "child", detached: true });
    });

    test("rule 4.3: a child outlives the turn and the parent's disposal", async () => {
      const store = await open_recording(backend);
      const gate = deferred();
      const script = [{ gate: gate.promise }, {}];
      const { manager, conversation, errors } = open_session(store, { provider_class, script });
      const id = manager.start_new();
      const child = conversation.spawn_child();
      const reply = ask(child, "in the background");
      manager[Symbol.dispose]();
      conversation[Symbol.dispose]();
      gate.resolve();
      await reply;
      await ask(child, "and on");
      await manager.flush();
      const { metadata, messages } = await only_child_of(store, id);
      expect(messages).toEqual(child.messages);
      expect(metadata).toMatchObject({ parent_id: id, message_count: 4, usage: { requests: 2 } });
      expect(errors).toEqual([]);
    });

    test("rule 4.3: a child that is disposed as soon as it has answered ends up whole", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      const child = conversation.spawn_child();
      await ask(child, "quick");
      const messages = child.messages;
      child[Symbol.dispose]();
      await manager.flush();
      expect((await only_child_of(store, id)).messages).toEqual(messages);
    });

    test("rule 4.2: a child that answers inside the parent's turn is stored with it", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      const begun = deferred<{ child: Conversation; reply: Promise<unknown> }>();
      conversation.once("message_start", () => {
        const child = conversation.spawn_child(true);
        begun.resolve({ child, reply: ask(child, "by the way") });
      });
      await ask(conversation, "work");
      const { child, reply } = await begun.promise;
      await reply;
      await manager.flush();
      expect((await only_child_of(store, id)).messages).toEqual(child.messages);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    });
  });

  test("rule 4.1: a child has its session before create_child returns, and answers at once", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const child = conversation.spawn();
    child.turn("at once", "done", { usage: { output_tokens: 7 } });
    child.emit("dispose");
    child.turn("after disposal");
    await manager.flush();
    const { metadata, messages } = await only_child_of(store, id);
    expect(messages).toEqual(child.messages.slice(0, 2));
    expect(metadata).toMatchObject({ kind: "child", detached: true, usage: { output_tokens: 7, requests: 1 } });
  });

  test("rule 4.3: a child that is disposed at once has a record", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store);
    const id = manager.start_new();
    await ask(conversation, "shared");
    const child = conversation.spawn_child(true);
    child[Symbol.dispose]();
    await manager.flush();
    const { metadata, messages } = await only_child_of(store, id);
    expect(messages).toEqual(conversation.messages);
    expect(metadata).toMatchObject({ kind: "child", detached: true, message_count: 2 });
  });

  test("rule 4.1: a child that stays silent has an empty record", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store);
    const id = manager.start_new();
    conversation.spawn_child();
    await manager.flush();
    const { metadata, messages } = await only_child_of(store, id);
    expect([messages, metadata.message_count]).toEqual([[], 0]);
    expect(metadata).not.toHaveProperty("label");
  });

  test("rule 4.2: a child's record is written behind the parent's pending writes", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const held = store.hold_save();
    await held.reached;
    conversation.turn("first");
    const child = conversation.spawn();
    child.turn("child");
    const grandchild = child.spawn();
    grandchild.turn("grandchild");
    conversation.turn("second");
    held.release();
    await manager.flush();
    const order = [...new Set(store.writes().map((call) => call.id))];
    const child_id = (await only_child_of(store, id)).metadata.id;
    const grandchild_id = (await only_child_of(store, child_id)).metadata.id;
    expect(order).toEqual([id, child_id, grandchild_id]);
    expect(store.writes(child_id)[0]?.metadata).toMatchObject({ parent_id: id, kind: "child" });
    expect(store.writes(id).slice(0, 2)).toEqual(store.writes().slice(0, 2));
  });

  test("rule 4.1: without an active session a child has none", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store);
    await ask(conversation.spawn_child(), "alone");
    await manager.flush();
    expect(store.writes()).toEqual([]);
  });

  test("rule 4.2: a child keeps naming the session in which it was begun", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new();
    const child = conversation.spawn();
    const second = manager.start_new();
    child.turn("still of the first");
    await manager.flush();
    expect((await only_child_of(store, first)).messages).toEqual(child.messages);
    expect(await children_of(store, second)).toEqual([]);
  });

  test("rules 4.1 and 4.2: the parent need not be stored, and options are the parent's", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    const child = conversation.spawn();
    await manager.flush();
    expect(await store.load(id)).toBeUndefined();
    expect((await only_child_of(store, id)).metadata).toMatchObject({ kind: "child", detached: true });
    child.turn("nobody asked to save");
    await manager.flush();
    expect((await only_child_of(store, id)).messages).toEqual([]);
  });

  test("rule 4: without auto_slug a child has no label", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_slug: false });
    const id = manager.start_new();
    conversation.spawn().turn("unlabelled");
    await manager.flush();
    expect((await only_child_of(store, id)).metadata).not.toHaveProperty("label");
  });

  test("rule 4.6: the session of a checkpoint's child is a checkpoint without a label", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store);
    const id = manager.start_new();
    await ask(conversation, "to be summarized");
    await conversation.checkpoint();
    await manager.flush();
    const { metadata, messages } = await only_child_of(store, id);
    expect(metadata).toMatchObject({ kind: "checkpoint", is_checkpoint: true, detached: true, parent_id: id });
    expect(metadata).not.toHaveProperty("label");
    expect(messages).toHaveLength(4);
  });
});
