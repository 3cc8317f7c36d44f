import { Conversation, StreamingProvider } from "@simulacra-ai/core";
import type { Message } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask } from "../core/helpers.js";
import { history_of, said } from "../support/histories.js";
import { histories_of } from "../support/faulty-store.js";
import { texts } from "../support/messages.js";
import { metadata_of, observe, open_plain, open_recording, record_of } from "../support/open-session.js";

/** Changes a text inside the conversation's own message. */
function edit(messages: readonly Readonly<Message>[], at: number, text: string): void {
  const [content] = messages[at]?.content ?? [];
  if (content?.type !== "text") {
    throw new Error(`message ${at} has no text`);
  }
  content.text = text;
}

each_backend((backend) => {
  describe.each(["at once", "when the write has begun", "while an earlier write is held"])(
    "an edit in place %s",
    (when) => {
      test("rule 1.4: is not stored with the turn that was complete before", async () => {
        const store = await open_recording(backend);
        const { manager, conversation, saves } = open_plain(store);
        const id = manager.start_new();
        if (when !== "while an earlier write is held") {
          await manager.flush();
        }
        const held = store.hold_save();
        conversation.turn("one");
        if (when !== "at once") {
          await held.reached;
        }
        edit(conversation.messages, 0, "edited");
        edit(conversation.messages, 1, "edited, too");
        held.release();
        await manager.flush();
        expect(texts((await record_of(store, id)).messages)).toEqual(said("one"));
        expect(await metadata_of(store, id)).toMatchObject({ label: "one", message_count: 2 });
        expect(texts(saves.at(-1)?.messages)).toEqual(said("one"));
      });

      test("rule 1.4: is not stored with a turn of the engine that was complete before", async () => {
        const store = await open_recording(backend);
        const conversation = new Conversation(new StreamingProvider([{}, {}]));
        const { manager } = observe(store, conversation);
        const id = manager.start_new();
        if (when !== "while an earlier write is held") {
          await manager.flush();
        }
        const held = store.hold_save();
        await ask(conversation, "one");
        if (when !== "at once") {
          await held.reached;
        }
        edit(conversation.messages, 1, "edited");
        held.release();
        await manager.flush();
        expect(texts((await record_of(store, id)).messages)).toEqual(["one", "ok"]);
      });

      test("rule 2.3: is stored by the next save()", async () => {
        const store = await open_recording(backend);
        const { manager, conversation } = open_plain(store);
        const id = manager.start_new();
        if (when !== "while an earlier write is held") {
          await manager.flush();
        }
        const held = store.hold_save();
        conversation.turn("one");
        if (when !== "at once") {
          await held.reached;
        }
        edit(conversation.messages, 1, "edited");
        held.release();
        await manager.save();
        expect(texts((await record_of(store, id)).messages)).toEqual(["one", "edited"]);
      });
    },
  );

  test("rule 1.4: an edit in place between a save that fails and its retry is not stored", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    store.fail_saves();
    conversation.turn("one");
    await manager.list(); // waits for the save
    edit(conversation.messages, 1, "edited");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one"));
  });

  test("rule 4: an edit in place of a child's turn is not stored with the child", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.turn("one");
    await manager.flush();
    const held = store.hold_save();
    const child = conversation.spawn();
    child.turn("of the child");
    edit(child.messages, 0, "edited");
    await held.reached;
    held.release();
    await manager.flush();
    const histories = [...(await histories_of(store)).values()];
    expect(histories).toContainEqual(said("of the child"));
  });

  test("rule 8.8: an edit in place while a detached fork is written is not stored with the fork", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    const held = store.hold(["save", "replace"]);
    const forked = manager.fork(id, { detached: true });
    await held.reached;
    edit(conversation.messages, 1, "edited");
    held.release();
    const fork = await forked;
    await manager.flush();
    expect(await history_of(store, fork)).toEqual(said("one"));
  });
});
