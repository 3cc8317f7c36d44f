import { expect, test } from "vitest";
import { each_backend, keeps_files, has_no_capability, offers } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { assistant, ids, texts, turns, user } from "../support/messages.js";
import { open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

each_backend((backend) => {
  test.each(PROVIDERS)("rule 2.1: append receives only the new messages, with %s", async (_name, provider_class) => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store, { provider_class });
    const id = manager.start_new();
    await manager.flush();
    for (const text of ["one", "two", "three"]) {
      await ask(conversation, text);
      await manager.flush();
    }
    expect(store.writes().map(({ method, messages }) => [method, ids(messages)])).toEqual([
      ["replace", []],
      ["append", ids(conversation.messages.slice(0, 2))],
      ["append", ids(conversation.messages.slice(2, 4))],
      ["append", ids(conversation.messages.slice(4, 6))],
    ]);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 2.1: nothing is read for a turn", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    for (const text of ["one", "two", "three"]) {
      conversation.turn(text);
      await manager.flush();
    }
    expect(store.of("load")).toEqual([]);
  });

  test("rule 2.2: what a plain object copies at load is not taken for replaced", async () => {
    const store = await open_recording(backend);
    await store.save("kept", turns(2), { kind: "root" });
    const { manager, conversation } = open_plain(store);
    await manager.load("kept");
    store.forget_calls();
    conversation.turn("three");
    await manager.flush();
    expect(store.writes().map(({ method, messages }) => [method, texts(messages as never)])).toEqual([
      ["append", ["three", "re: three"]],
    ]);
    expect((await record_of(store, "kept")).messages).toEqual(conversation.messages);
  });

  test("rule 2.2: what a plain object makes of messages at load is not taken for replaced", async () => {
    const store = await open_recording(backend);
    await store.save("kept", turns(1), { kind: "root" });
    const { manager, conversation } = open_plain(store);
    conversation.load = (messages) => {
      const stamped = messages.map((message, index) => ({ ...message, id: `local ${index}`, timestamp: 1 }));
      conversation.messages.splice(0, Infinity, ...structuredClone(stamped), assistant("welcome back"));
    };
    await manager.load("kept");
    store.forget_calls();
    conversation.turn("two");
    await manager.flush();
    expect(store.writes().map(({ method, messages }) => [method, texts(messages as never)])).toEqual([
      ["append", ["welcome back", "two", "re: two"]],
    ]);
  });

  test("rule 2.1: the first turn of a loaded fork appends, and only what the fork owns", async () => {
    const store = await open_recording(backend);
    await store.save("parent", turns(3), { kind: "root" });
    const { manager, conversation } = open_session(store);
    const fork = await manager.fork("parent", { message_id: "a2" });
    store.forget_calls();
    await ask(conversation, "on");
    await manager.flush();
    expect(store.writes().map(({ method, id, messages }) => [method, id, messages?.length])).toEqual([
      ["append", fork, 2],
    ]);
    expect((await record_of(store, fork)).messages).toEqual(conversation.messages.slice(4));
  });

  test("rule 2.2: messages of the same content are the same, though every object is new", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    await manager.flush();
    conversation.turn("one");
    await manager.flush();
    conversation.messages.splice(0, 2, ...structuredClone(conversation.messages));
    conversation.messages[0] = { content: conversation.messages[0]!.content as never, role: "user" };
    conversation.turn("two");
    await manager.flush();
    expect(store.of("append").map(({ messages }) => messages?.length)).toEqual([2, 2]);
    expect(store.of("replace")).toHaveLength(1);
  });

  test("rule 2.1: an auto-save after the conversation was replaced stores the new one whole", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.messages.push(...turns(3));
    conversation.emit("message_complete");
    await manager.flush();
    conversation.load([user("question 1", "u1"), assistant("another answer", "a1")]);
    conversation.turn("on");
    await manager.flush();
    expect(texts((await record_of(store, id)).messages)).toEqual(["question 1", "another answer", "on", "re: on"]);
    expect(store.of("replace", id).at(-1)?.messages).toHaveLength(4);
  });

  test("rule 2.2: another id with the same content is another message", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.emit("message_complete");
    await manager.flush();
    conversation.load([user("question 1", "other"), assistant("answer 1", "a1")]);
    conversation.emit("message_complete");
    await manager.flush();
    expect(ids((await record_of(store, id)).messages)).toEqual(["other", "a1"]);
  });

  test("rule 2.1: an answer that got lost is not stored twice", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    store.lose_answer("replace");
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    store.lose_answer("append");
    conversation.turn("two", "re: two", { usage: { input_tokens: 5 } });
    await manager.flush();
    expect(errors.map(({ error }) => (error as Error).message)).toEqual(["connection lost", "connection lost"]);
    const { metadata, messages } = await record_of(store, id);
    expect(messages).toEqual(conversation.messages);
    expect(metadata).toMatchObject({ message_count: 4, usage: { input_tokens: 5, requests: 1 }, kind: "root" });
  });

  test("rule 2.1: a state that is stored already is not written again", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.turn("one");
    await manager.flush();
    store.forget_calls();
    conversation.emit("message_complete");
    await manager.flush();
    expect(store.writes()).toEqual([]);
  });
}, offers("append"));

each_backend((backend) => {
  test("rule 2.3: edits in place are stored by an explicit save()", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    conversation.turn("two");
    await manager.flush();
    Object.assign(conversation.messages[1]!.content[0]!, { text: "edited" });
    await manager.save();
    expect(texts((await record_of(store, id)).messages)).toEqual(["one", "edited", "two", "re: two"]);
    conversation.turn("three");
    await manager.flush();
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 2.3: an explicit save() flushes its session, and no other", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.turn("one");
    const second = manager.start_new();
    conversation.turn("two");
    await manager.save();
    const can_flush = store.flush !== undefined;
    expect(store.of("flush").map(({ id }) => id)).toEqual(can_flush ? [second] : []);
    expect(can_flush).toBe(keeps_files(backend));
  });

  test("rule 2: messages without ids are stored and resumed", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    for (const text of ["same", "same", "same"]) {
      conversation.turn(text);
    }
    await manager.flush();
    const resumed = open_plain(store);
    await resumed.manager.load(id);
    resumed.conversation.turn("same");
    await resumed.manager.flush();
    expect((await record_of(store, id)).messages).toEqual(resumed.conversation.messages);
    expect(resumed.conversation.messages).toHaveLength(8);
  });

  test("rule 2.3: what the application took out of the conversation is gone after save()", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    conversation.turn("two");
    await manager.flush();
    conversation.messages.length = 2;
    await manager.save();
    expect(texts((await record_of(store, id)).messages)).toEqual(["one", "re: one"]);
  });

  test("rule 2: no metadata handed to the store has a key that is undefined", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new();
    conversation.turn("one", "re: one", { usage: { input_tokens: 1 } });
    conversation.spawn().turn("child");
    await manager.save({ label: undefined, provider: "p", custom: { a: 1 } } as never);
    await manager.rename(first, "renamed");
    await manager.fork(first);
    conversation.turn("two");
    await manager.fork(first, { detached: true });
    conversation.checkpoint_state = { message_id: "none", summary: "s" };
    conversation.emit("checkpoint_complete");
    await manager.flush();
    const given = store.writes().flatMap(({ metadata }) => Object.entries(metadata ?? {}));
    expect(given.length).toBeGreaterThan(10);
    expect(given.filter(([, value]) => value === undefined)).toEqual([]);
  });
});

each_backend((backend) => {
  test("rule 2.4: everything goes through save, and nothing is read for a turn", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    conversation.turn("one");
    await manager.flush();
    conversation.turn("two");
    await manager.flush();
    expect(store.calls.map(({ method, messages }) => [method, messages?.length])).toEqual([
      ["save", 0],
      ["save", 2],
      ["save", 4],
    ]);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 2: the dates and the count are left to the store", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.turn("one");
    await manager.flush();
    for (const { metadata } of store.of("save")) {
      expect(Object.keys(metadata ?? {})).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(id|created_at|updated_at|message_count)$/)]),
      );
    }
    expect(store.of("save").length).toBeGreaterThan(0);
  });
}, has_no_capability);
