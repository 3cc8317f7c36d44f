import { readdir } from "node:fs/promises";
import { Conversation, deferred } from "@simulacra-ai/core";
import { SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { outcome_in_time } from "../support/in-time.js";
import { texts, turns } from "../support/messages.js";
import {
  contents_of,
  open_backend,
  open_plain,
  open_recording,
  open_session,
  record_of,
} from "../support/open-session.js";

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 15.5: await using waits for the turn in flight to be answered, and stores it", async () => {
      const store = await open_recording(backend);
      const conversation = new Conversation(new provider_class([{ text: "a long answer", chunks: 20 }]));
      let id = "";
      {
        await using manager = new SessionManager(store, conversation);
        id = manager.start_new();
        void conversation.prompt("hi");
      }
      expect(texts(conversation.messages)).toEqual(["hi", "a long answer"]);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    });

    test("rule 15.5: after an awaited prompt(), leaving an await using block leaves everything stored", async () => {
      const { store, directory } = await open_backend(backend);
      const conversation = new Conversation(new provider_class([{ text: "hello" }, { text: "again" }]));
      {
        await using manager = new SessionManager(store, conversation);
        manager.start_new();
        await conversation.prompt("hi");
      }
      const entry = (await store.list())[0];
      expect((await record_of(store, entry?.id ?? "")).messages).toEqual(conversation.messages);
      expect(texts(conversation.messages)).toEqual(["hi", "hello"]);
      if (directory !== undefined) {
        expect(await readdir(directory)).toEqual([`${entry?.id}.json`]);
      }
    });

    test.each([
      ["fails before the stream", { fail_request: new Error("no") }],
      ["fails in the stream", { fail_stream: new Error("no") }],
    ])("rule 15.5: await using ends where the turn in flight %s", async (_what, step) => {
      const store = await open_recording(backend);
      const conversation = new Conversation(new provider_class([{ text: "first" }, step]));
      let id = "";
      {
        await using manager = new SessionManager(store, conversation);
        id = manager.start_new();
        await ask(conversation, "one");
        void conversation.prompt("two");
      }
      expect(conversation.state).toBe("idle");
      expect(texts((await record_of(store, id)).messages)).toEqual(["one", "first"]);
    });

    test.each([
      ["is cancelled", (conversation: Conversation) => conversation.cancel_response()],
      ["ends with the conversation's disposal", (conversation: Conversation) => conversation[Symbol.dispose]()],
    ])("rule 15.5: await using ends where the turn in flight %s", async (_what, end) => {
      const store = await open_recording(backend);
      const script = [{ text: "first" }, { gate: deferred().promise }];
      const { manager, conversation } = open_session(store, { provider_class, script });
      const id = manager.start_new();
      await ask(conversation, "one");
      const streaming = new Promise<void>((resolve) => conversation.once("message_start", () => resolve()));
      void conversation.prompt("two");
      await streaming;
      let disposed = false;
      const disposing = manager[Symbol.asyncDispose]().then(() => (disposed = true));
      await round();
      await round();
      expect(disposed).toBe(false);
      end(conversation);
      await disposing;
      expect(texts((await record_of(store, id)).messages)).toEqual(["one", "first"]);
    });

    test("rule 15.5: await using waits for turns that follow each other without a pause", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      let left = 5;
      conversation.on("message_complete", () => {
        if (left > 0) {
          left -= 1;
          void conversation.prompt(`tool result ${left}`);
        }
      });
      void conversation.prompt("begin");
      await manager[Symbol.asyncDispose]();
      expect(conversation.messages).toHaveLength(12);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    });

    test("rule 15.1: using stops listening at once, and what was asked for is still written", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, saves, errors } = open_session(store, { provider_class });
      let disposals = 0;
      manager.on("dispose", () => (disposals += 1));
      const id = manager.start_new();
      await manager.flush();
      const held = store.hold_save();
      await ask(conversation, "in time");
      manager[Symbol.dispose]();
      manager[Symbol.dispose]();
      expect(disposals).toBe(1);
      await ask(conversation, "too late");
      await held.reached;
      held.release();
      await manager.flush();
      expect((await record_of(store, id)).messages).toEqual(conversation.messages.slice(0, 2));
      expect(saves.map(({ messages }) => messages.length)).toEqual([0, 2]);
      expect(errors).toEqual([]);
    });
  });

  test.each(["message_complete", "request_error", "dispose"] as const)(
    "rule 15.5: a plain object without a state is waited for from prompt_send to %s",
    async (end) => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      conversation.emit("prompt_send");
      let disposed = false;
      const disposing = manager[Symbol.asyncDispose]().then(() => (disposed = true));
      await manager.flush();
      await round();
      await round();
      expect(disposed).toBe(false);
      if (end === "message_complete") {
        conversation.turn("late");
      } else {
        conversation.emit(end);
      }
      await disposing;
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    },
  );

  test("rule 15.1: failures after using are still heard", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    const held = store.hold_save();
    conversation.turn("one");
    await held.reached;
    conversation.turn("two");
    store.fail_saves();
    manager[Symbol.dispose]();
    held.release();
    await manager.flush();
    expect(errors).toMatchObject([{ error: { message: "disk on fire" }, context: { session_id: id } }]);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 15.1: no listener is left on the conversation", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    expect(conversation.listener_count).toBeGreaterThan(0);
    manager[Symbol.dispose]();
    expect(conversation.listener_count).toBe(0);
  });

  test("rule 15.6: everything may be disposed twice, and in any order", async () => {
    const store = await open_recording(backend);
    for (const first of ["manager", "conversation"]) {
      const { manager, conversation, errors } = open_session(store);
      const id = manager.start_new();
      await ask(conversation, "one");
      const messages = conversation.messages;
      if (first === "conversation") {
        conversation[Symbol.dispose]();
      }
      manager[Symbol.dispose]();
      await Promise.all([manager[Symbol.asyncDispose](), manager[Symbol.asyncDispose](), manager.flush()]);
      await manager[Symbol.asyncDispose]();
      manager[Symbol.dispose]();
      await manager.flush();
      expect((await record_of(store, id)).messages).toEqual(messages);
      expect(errors).toEqual([]);
    }
  });

  test("rule 15.1: a conversation that is disposed disposes its manager", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_session(store);
    let disposals = 0;
    manager.on("dispose", () => (disposals += 1));
    const id = manager.start_new();
    await ask(conversation, "one");
    conversation[Symbol.dispose]();
    expect(disposals).toBe(1);
    await manager.flush();
    expect((await record_of(store, id)).metadata.message_count).toBe(2);
  });

  test("rule 15.1: a disposed manager begins nothing, and says so", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager[Symbol.asyncDispose]();
    store.forget_calls();
    expect(() => manager.start_new()).toThrow(expect.objectContaining({ code: "invalid_state" }));
    await expect(manager.load(id)).rejects.toMatchObject({ code: "invalid_state" });
    await expect(manager.fork(id)).rejects.toMatchObject({ code: "invalid_state" });
    expect(store.calls).toEqual([]);
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
  });

  test.each<[string, (manager: SessionManager, id: string) => Promise<unknown>]>([
    ["load", (manager) => manager.load("other")],
    ["an attached fork", (manager) => manager.fork("other")],
    ["a detached fork", (manager) => manager.fork("other", { detached: true })],
    ["rewind", (manager) => manager.rewind("a1")],
    ["delete of the current session", (manager, id) => manager.delete(id)],
  ])("rule 3.6: %s that waits when the manager is disposed rejects and changes nothing", async (_what, call) => {
    const store = await open_recording(backend);
    await store.save("mine", turns(2), { kind: "root" });
    await store.save("other", turns(1, "o"), { kind: "root" });
    const { manager, conversation } = open_plain(store, { auto_slug: false });
    await manager.load("mine");
    const before = await contents_of(store);
    const held = store.hold(["load", "list", "save", "replace"]);
    const outcome = outcome_in_time(call(manager, "mine"));
    await held.reached;
    manager[Symbol.dispose]();
    held.release();
    expect(await outcome).toBe("invalid_state");
    expect([manager.current_session_id, texts(conversation.messages)]).toEqual(["mine", texts(turns(2))]);
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 15.5: await using disposes though a save still fails, and tells of it", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    let disposals = 0;
    manager.on("dispose", () => (disposals += 1));
    manager.start_new();
    await manager.flush();
    store.fail_saves({ times: Infinity });
    conversation.turn("one");
    await expect(manager[Symbol.asyncDispose]()).rejects.toThrow("disk on fire");
    expect([disposals, conversation.listener_count]).toEqual([1, 0]);
    store.heal();
    await manager.flush();
    expect((await record_of(store, manager.current_session_id ?? "")).messages).toEqual(conversation.messages);
  });
});
