import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { expect, test } from "vitest";
import { each_file_store, each_store, history_of, open_with_turns, said } from "../support/histories.js";
import { texts, turns } from "../support/messages.js";
import { metadata_of, open_backend, open_plain, open_recording, record_of } from "../support/open-session.js";
import type { Backend } from "../backends.js";

/** A parent `p` of two turns with ids, and a session that is not stored yet, whose conversation holds these messages. */
async function open_below(backend: Backend, messages: Message[], options = {}) {
  const store = await open_recording(backend);
  await store.save("p", turns(2, "p"), { kind: "root" });
  const opened = open_plain(store, { auto_save: false, ...options });
  const id = opened.manager.start_new();
  opened.conversation.load(messages);
  opened.conversation.turn("mine");
  return { store, id, ...opened };
}

const P = texts(turns(2, "p"))!;

each_store((backend) => {
  test.each([
    ["all of the parent", {}, 4],
    ["the parent as far as a message", { fork_message_id: "pa1" }, 2],
  ])(
    "rule 8.10: save({ parent_id }) of a conversation that begins with %s stores the rest",
    async (_what, given, count) => {
      const { store, id, manager, conversation } = await open_below(backend, turns(2, "p").slice(0, count));
      await manager.save({ parent_id: "p", ...given });
      expect(await metadata_of(store, id)).toMatchObject({
        parent_id: "p",
        fork_message_id: `pa${count / 2}`,
        fork_message_count: count,
        message_count: 2,
      });
      conversation.turn("on");
      await manager.flush();
      await manager.save({ parent_id: "p" });
      expect((await record_of(store, id)).messages).toHaveLength(4);
      expect(await history_of(store, id)).toEqual([...P.slice(0, count), ...said("mine", "on")]);
    },
  );

  test.each([
    ["begins in another way", turns(1, "x"), {}],
    ["lacks some of the parent", turns(2, "p").slice(0, 2), {}],
    ["is forked at an unknown message", turns(2, "p"), { fork_message_id: "pa9" }],
    ["is to inherit nothing", turns(2, "p"), { detached: true }],
  ])(
    "rule 8.10: where the conversation %s, it is stored whole, below the parent by name",
    async (_what, begun, given) => {
      const { store, id, manager, conversation } = await open_below(backend, begun);
      await manager.save({ parent_id: "p", ...given });
      expect(await metadata_of(store, id)).toMatchObject({
        parent_id: "p",
        detached: true,
        message_count: begun.length + 2,
      });
      conversation.turn("on");
      await manager.save();
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    },
  );

  test("rule 8.10: a parent that does not exist is named as given, and nothing leaks in once it does", async () => {
    const { store, id, manager, conversation, errors } = await open_below(backend, []);
    await manager.save({ parent_id: "later", fork_message_id: "la1" });
    const metadata = await metadata_of(store, id);
    expect(metadata).toMatchObject({ parent_id: "later", fork_message_id: "la1", message_count: 2 });
    expect(metadata).not.toHaveProperty("detached");
    await store.save("later", turns(1, "l"), { kind: "root" });
    expect(await history_of(store, id)).toEqual(said("mine"));
    await open_plain(store).manager.delete("later");
    conversation.turn("on");
    await manager.save();
    expect(await history_of(store, id)).toEqual(said("mine", "on"));
    expect(errors).toEqual([]);
  });

  test("rule 8.10: a fork that is given another parent keeps its history, and its forks keep theirs", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    await store.save("p", turns(1, "p"), { kind: "root" });
    const fork = await manager.fork(id);
    conversation.turn("two");
    await manager.flush();
    const nested = await open_plain(store).manager.fork(fork);
    await manager.save({ parent_id: "p" });
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: "p", detached: true, message_count: 4 });
    expect(await history_of(store, nested)).toEqual(said("one", "two"));
    await manager.save({ parent_id: id, detached: false });
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: id, fork_message_count: 2, message_count: 2 });
    expect(await history_of(store, fork)).toEqual(said("one", "two"));
    expect(await history_of(store, nested)).toEqual(said("one", "two"));
    conversation.turn("three");
    await manager.save();
    expect(await history_of(store, fork)).toEqual(said("one", "two", "three"));
  });

  test("rule 8.10: a descendant as the parent is lineage, and nothing changes", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const fork = await open_plain(store).manager.fork(id);
    const before = await metadata_of(store, id);
    for (const parent_id of [id, fork]) {
      await expect(manager.save({ parent_id })).rejects.toMatchObject({ name: "SessionError", code: "lineage" });
    }
    conversation.turn("two");
    await manager.flush();
    expect((await metadata_of(store, id)).parent_id).toBe(before.parent_id);
    expect(await history_of(store, id)).toEqual(said("one", "two"));
    expect(await history_of(store, fork)).toEqual(said("one"));
  });

  test.each(["fail", "lose_answer"] as const)(
    "rule 15.3: a parent that could not be stored (%s) is with flush()",
    async (how) => {
      const { store, id, manager, conversation } = await open_below(backend, turns(2, "p"));
      await manager.save();
      store[how](["save", "replace"]);
      await expect(manager.save({ parent_id: "p", label: "mine" })).rejects.toThrow();
      conversation.turn("on");
      await manager.flush();
      expect(await metadata_of(store, id)).toMatchObject({ parent_id: "p", fork_message_count: 4, label: "mine" });
      await manager.save();
      expect(await history_of(store, id)).toEqual([...P, ...said("mine", "on")]);
      expect(await store.list()).toHaveLength(2);
    },
  );

  test("rule 15.3: a session whose new fork point was stored, though reported as failed, goes on there", async () => {
    const { store, id, manager, conversation } = await open_below(backend, turns(2, "p"), { auto_save: true });
    await manager.save({ parent_id: "p" });
    store.lose_answer(["save", "replace"]);
    await expect(manager.save({ fork_message_id: "pa1" })).rejects.toThrow("connection lost");
    conversation.turn("on");
    await manager.flush();
    expect(manager.current_session_id).toBe(id);
    expect(await metadata_of(store, id)).toMatchObject({ parent_id: "p", fork_message_count: 2, message_count: 6 });
    expect(await history_of(store, id)).toEqual([...P, ...said("mine", "on")]);
  });

  test("rule 12: a label that could not be stored gives way to the one given after it", async () => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    store.fail(["save", "append", "replace", "update"]);
    await expect(manager.save({ label: "first" })).rejects.toThrow("disk on fire");
    await manager.rename(id, "second");
    await manager.flush();
    expect((await metadata_of(store, id)).label).toBe("second");
  });

  test("rule 1.4: usage of a later turn is not stored with the messages before it", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const held = store.hold_save();
    conversation.turn("two");
    await held.reached;
    const saved = manager.save({ custom: { mine: true } });
    store.forget_calls();
    conversation.turn("three", "t", { usage: { output_tokens: 7 } });
    held.release();
    await saved;
    await manager.flush();
    const with_usage = store.writes(id).filter(({ metadata }) => metadata?.usage !== undefined);
    expect(with_usage.map(({ messages }) => texts(messages as Message[])?.at(-1))).toEqual(["t"]);
    expect(await metadata_of(store, id)).toMatchObject({ custom: { mine: true }, usage: { output_tokens: 7 } });
  });
});

each_file_store((backend, extension) => {
  test("rule 8.10: a damaged parent is corrupt, and later saves go on without it", async () => {
    const { store, directory = "" } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await store.save("p", turns(1, "p"));
    await writeFile(join(directory, `p${extension}`), "{ damaged");
    conversation.turn("one");
    await expect(manager.save({ parent_id: "p" })).rejects.toMatchObject({ code: "corrupt", session_id: "p" });
    conversation.turn("two");
    await manager.flush();
    expect(await metadata_of(store, id)).not.toHaveProperty("parent_id");
    expect(await history_of(store, id)).toEqual(said("one", "two"));
  });
});
