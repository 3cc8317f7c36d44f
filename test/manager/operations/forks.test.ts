import { describe, expect, test } from "vitest";
import { each_backend } from "../../backends.js";
import { ask, PROVIDERS } from "../../core/helpers.js";
import { assistant, ids, texts, turns, user } from "../../support/messages.js";
import {
  contents_of,
  metadata_of,
  open_plain,
  open_recording,
  open_session,
  record_of,
} from "../../support/open-session.js";

each_backend((backend) => {
  test.each(PROVIDERS)(
    "rule 8.1: a fork goes on from the parent and leaves it alone, with %s",
    async (_name, provider) => {
      const store = await open_recording(backend);
      await store.save("parent", turns(2), { kind: "root" });
      const before = await record_of(store, "parent");
      const { manager, conversation, loads } = open_session(store, { provider_class: provider });
      const fork = await manager.fork("parent");
      expect(conversation.messages).toEqual(turns(2));
      expect(manager.current_session_id).toBe(fork);
      expect(loads).toEqual([{ id: fork, messages: turns(2) }]);
      await ask(conversation, "on");
      await manager.flush();
      const { metadata, messages } = await record_of(store, fork);
      expect(metadata).toMatchObject({
        kind: "fork",
        parent_id: "parent",
        fork_message_id: "a2",
        fork_message_count: 4,
        message_count: 2,
      });
      expect(metadata).not.toHaveProperty("detached");
      expect(messages).toEqual(conversation.messages.slice(4));
      expect(await record_of(store, "parent")).toEqual(before);
      const other = open_session(store);
      await other.manager.load(fork);
      expect(other.conversation.messages).toEqual(conversation.messages);
    },
  );

  describe.each([
    ["u1", 1],
    ["a1", 2],
    ["u2", 3],
    ["a2", 4],
  ])("at message %s", (message_id, count) => {
    test("rule 8.1: message_id forks after that message, inclusive", async () => {
      const store = await open_recording(backend);
      await store.save("parent", turns(2));
      const { manager, conversation } = open_plain(store);
      const fork = await manager.fork("parent", { message_id });
      expect(conversation.messages).toEqual(turns(2).slice(0, count));
      expect(await metadata_of(store, fork)).toMatchObject({ fork_message_id: message_id, fork_message_count: count });
      conversation.turn("on");
      await manager.load("parent");
      await manager.load(fork);
      expect(texts(conversation.messages)).toEqual([...texts(turns(2).slice(0, count))!, "on", "re: on"]);
    });
  });

  test("rule 8.1: message_id may be a message that the parent inherits", async () => {
    const store = await open_recording(backend);
    await store.save("root", turns(2));
    await store.save("parent", turns(1, "p"), { kind: "fork", parent_id: "root", fork_message_id: "a2" });
    const { manager, conversation } = open_plain(store);
    const fork = await manager.fork("parent", { message_id: "a1" });
    expect(ids(conversation.messages)).toEqual(["u1", "a1"]);
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: "parent", fork_message_id: "a1" });
    await manager.load(fork);
    expect(ids(conversation.messages)).toEqual(["u1", "a1"]);
  });

  test("rule 8.2: an unknown message_id is invalid_input, and nothing changes", async () => {
    const store = await open_recording(backend);
    await store.save("parent", turns(1));
    const before = await contents_of(store);
    const { manager, conversation } = open_plain(store);
    for (const detached of [false, true]) {
      await expect(manager.fork("parent", { message_id: "u9", detached })).rejects.toMatchObject({
        name: "SessionError",
        code: "invalid_input",
      });
    }
    expect([manager.current_session_id, conversation.messages]).toEqual([undefined, []]);
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 8.2: a missing parent is not_found, and nothing changes", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    const before = await contents_of(store);
    for (const detached of [false, true]) {
      await expect(manager.fork("gone", { detached })).rejects.toMatchObject({
        code: "not_found",
        message: "session not found: gone",
      });
    }
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 8.3: a fork of an empty parent inherits nothing, ever", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const parent = manager.start_new();
    const fork = await manager.fork(parent);
    expect(await metadata_of(store, fork)).toMatchObject({ kind: "fork", parent_id: parent, detached: true });
    await manager.load(parent);
    conversation.turn("later, in the parent");
    await manager.load(fork);
    expect(conversation.messages).toEqual([]);
    conversation.turn("in the fork");
    await manager.flush();
    expect(texts((await record_of(store, fork)).messages)).toEqual(["in the fork", "re: in the fork"]);
  });

  test("rule 8: a fork of the current session takes what was asked for before", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const parent = manager.start_new();
    const held = store.hold_save();
    conversation.turn("pending");
    const forked = manager.fork(parent);
    await held.reached;
    held.release();
    const fork = await forked;
    expect(texts(conversation.messages)).toEqual(["pending", "re: pending"]);
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: parent, fork_message_count: 2 });
  });

  test("rule 8.5: where ids repeat, the count decides what a fork inherits", async () => {
    const store = await open_recording(backend);
    const same = () => user("again", "same");
    await store.save("parent", [same(), assistant("a", "a1"), same(), assistant("b", "a2"), same()]);
    const { manager, conversation } = open_plain(store);
    const fork = await manager.fork("parent");
    expect(await metadata_of(store, fork)).toMatchObject({ fork_message_id: "same", fork_message_count: 5 });
    await manager.load(fork);
    expect(ids(conversation.messages)).toEqual(["same", "a1", "same", "a2", "same"]);
  });

  test("rule 8.5: where messages have no ids, the count decides what a fork inherits", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const parent = manager.start_new();
    conversation.turn("one");
    const fork = await manager.fork(parent);
    const metadata = await metadata_of(store, fork);
    expect(metadata.fork_message_count).toBe(2);
    expect(metadata).not.toHaveProperty("fork_message_id");
    await manager.load(parent);
    conversation.turn("two");
    await manager.load(fork);
    expect(texts(conversation.messages)).toEqual(["one", "re: one"]);
  });

  describe("with detached", () => {
    test.each(PROVIDERS)("rule 8.8: the conversation's messages stay as they are, with %s", async (_name, provider) => {
      const store = await open_recording(backend);
      await store.save("parent", turns(1, "p"), { kind: "root", label: "parent's" });
      const { manager, conversation, loads } = open_session(store, { provider_class: provider });
      const first = manager.start_new("first");
      await ask(conversation, "mine");
      const held = conversation.messages;
      const fork = await manager.fork("parent", { detached: true });
      expect(conversation.messages).toEqual(held);
      expect(manager.current_session_id).toBe(fork);
      expect(loads).toEqual([]);
      const { metadata, messages } = await record_of(store, fork);
      expect(metadata).toMatchObject({ kind: "fork", parent_id: "parent", detached: true, message_count: 2 });
      expect(metadata).not.toHaveProperty("label", "parent's (fork)");
      expect(messages).toEqual(held);
      await ask(conversation, "on");
      await manager.flush();
      expect((await record_of(store, fork)).messages).toEqual(conversation.messages);
      expect((await record_of(store, first)).messages).toEqual(held);
    });

    test("rule 8.8: nothing of the parent is inherited", async () => {
      const store = await open_recording(backend);
      await store.save("parent", turns(1, "p"));
      const { manager, conversation } = open_plain(store);
      const fork = await manager.fork("parent", { detached: true });
      expect((await record_of(store, fork)).messages).toEqual([]);
      await manager.load(fork);
      expect(conversation.messages).toEqual([]);
    });

    test("rule 8.8: message_id says where the parent was, for provenance", async () => {
      const store = await open_recording(backend);
      await store.save("parent", turns(2));
      const { manager } = open_plain(store);
      const fork = await manager.fork("parent", { detached: true, message_id: "a1" });
      expect(await metadata_of(store, fork)).toMatchObject({ detached: true, fork_message_id: "a1" });
    });
  });

  test("rule 8.7: with auto_slug an attached fork takes the parent's label, marked as a fork", async () => {
    const store = await open_recording(backend);
    await store.save("parent", turns(1), { label: "Journey", label_source: "user" });
    const { manager, conversation } = open_plain(store);
    const fork = await manager.fork("parent");
    expect(await metadata_of(store, fork)).toMatchObject({ label: "Journey (fork)", label_source: "auto" });
    conversation.turn("no label from here");
    await manager.flush();
    expect((await metadata_of(store, fork)).label).toBe("Journey (fork)");
    const again = await manager.fork(fork);
    expect((await metadata_of(store, again)).label).toBe("Journey (fork) (fork)");
  });

  test("rule 8.7: without auto_slug, or without a parent's label, a fork has none", async () => {
    const store = await open_recording(backend);
    await store.save("labelled", turns(1), { label: "Journey" });
    await store.save("bare", turns(1));
    const silent = open_plain(store, { auto_slug: false });
    expect(await metadata_of(store, await silent.manager.fork("labelled"))).not.toHaveProperty("label");
    const { manager } = open_plain(store);
    expect(await metadata_of(store, await manager.fork("bare"))).not.toHaveProperty("label");
  });
});
