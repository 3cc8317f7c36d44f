import { describe, expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { ids, texts, turns, user } from "../support/messages.js";
import { open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 1.9: a save event tells the id and all messages, inherited ones included, frozen", async () => {
      const store = await open_recording(backend);
      await store.save("parent", turns(1));
      const { manager, conversation, saves } = open_session(store, { provider_class });
      const fork = await manager.fork("parent");
      await ask(conversation, "on");
      await manager.flush();
      const last = saves.at(-1);
      expect(last).toEqual({ id: fork, messages: conversation.messages });
      expect(ids(last?.messages)?.slice(0, 2)).toEqual(["u1", "a1"]);
      for (const { messages, ...rest } of saves) {
        expect(Object.isFrozen(messages)).toBe(true);
        expect(messages.every((message) => Object.isFrozen(message))).toBe(true);
        expect(rest).toEqual({ id: fork });
      }
      expect(saves.every((event) => Object.isFrozen(event))).toBe(true);
    });
  });

  test("rule 1.9: an event's messages do not change when the conversation goes on", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, saves } = open_plain(store);
    manager.start_new();
    await manager.flush();
    conversation.turn("one");
    await manager.flush();
    conversation.turn("two");
    conversation.messages[0] = user("one", "changed");
    await manager.flush();
    expect(texts(saves[1]?.messages)).toEqual(["one", "re: one"]);
    expect(saves[1]?.messages[0]).not.toHaveProperty("id");
  });

  test("rule 1.9: the application's own objects are not frozen", async () => {
    const store = await open_recording(backend);
    await store.save("kept", turns(1));
    const { manager, conversation } = open_plain(store);
    const custom = { nested: {} };
    const own = () => [conversation.messages, ...conversation.messages, custom, custom.nested];
    await manager.load("kept");
    conversation.turn("one");
    await manager.save({ custom });
    conversation.checkpoint_state = { message_id: "a1", summary: "s" };
    conversation.emit("checkpoint_complete");
    await manager.fork("kept", { detached: true });
    await manager.flush();
    expect(own().filter((object) => Object.isFrozen(object))).toEqual([]);
    expect(conversation.messages.some(({ content }) => content.some((part: object) => Object.isFrozen(part)))).toBe(
      false,
    );
    expect(Object.isFrozen(conversation.checkpoint_state)).toBe(false);
    conversation.messages[0]!.id = "still mine";
    expect(conversation.messages[0]!.id).toBe("still mine");
  });

  test("rule 1.9: a load event tells the id and all messages, frozen", async () => {
    const store = await open_recording(backend);
    await store.save("parent", turns(1));
    await store.save("fork", turns(1, "f"), { parent_id: "parent", fork_message_id: "a1" });
    const { manager, loads, conversation } = open_plain(store);
    await manager.load("fork");
    expect(loads).toEqual([{ id: "fork", messages: conversation.messages }]);
    expect(conversation.messages).toHaveLength(4);
    expect(Object.isFrozen(loads[0]) && Object.isFrozen(loads[0]?.messages)).toBe(true);
    expect(loads[0]?.messages.every((message) => Object.isFrozen(message))).toBe(true);
    conversation.messages[0]!.content.push({ type: "text", text: "mine" } as never);
    expect(Object.isFrozen(conversation.messages)).toBe(false);
  });

  test("rule 1.9: current_session_id is the loaded session's when load is heard", async () => {
    const store = await open_recording(backend);
    await store.save("kept", turns(1));
    const { manager, conversation } = open_plain(store);
    const heard: unknown[] = [];
    manager.on("load", ({ id }) => heard.push(id, manager.current_session_id, conversation.messages.length));
    await manager.load("kept");
    expect(heard).toEqual(["kept", "kept", 2]);
  });

  test("rule 1.9: a state is stored when its save event is heard", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const stored: Promise<number>[] = [];
    manager.on("save", ({ id }) => stored.push(record_of(store, id).then(({ messages }) => messages.length)));
    manager.start_new();
    await manager.flush();
    conversation.turn("one");
    await manager.flush();
    expect(await Promise.all(stored)).toEqual([0, 2]);
  });

  test("rule 5: on() and off() chain, and what is off hears nothing more", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    let heard = 0;
    const listener = () => (heard += 1);
    expect(manager.on("save", listener).on("load", listener)).toBe(manager);
    manager.start_new();
    await manager.flush();
    expect(manager.off("save", listener).off("load", listener)).toBe(manager);
    conversation.turn("one");
    await manager.flush();
    expect(heard).toBe(1);
  });
});
