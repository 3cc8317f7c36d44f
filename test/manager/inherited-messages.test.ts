import { expect, test } from "vitest";
import { each_backend, type Backend } from "../backends.js";
import { texts, turns, user } from "../support/messages.js";
import { open_plain, open_recording, record_of } from "../support/open-session.js";

/** A fork of two turns, with a turn of its own, all of it stored. */
async function open_fork(backend: Backend) {
  const store = await open_recording(backend);
  await store.save("parent", turns(2), { kind: "root" });
  const opened = open_plain(store);
  const fork = await opened.manager.fork("parent");
  opened.conversation.turn("own");
  await opened.manager.flush();
  const resume = async (id: string) => {
    const { manager, conversation } = open_plain(store);
    await manager.load(id);
    return texts(conversation.messages);
  };
  return { store, fork, resume, ...opened };
}

each_backend((backend) => {
  test("rule 2.3: an edit in place of what a fork inherits is stored by an explicit save()", async () => {
    const { store, manager, conversation, fork, resume } = await open_fork(backend);
    Object.assign(conversation.messages[0]!.content[0]!, { text: "edited" });
    await manager.save();
    expect(await resume(fork)).toEqual(texts(conversation.messages));
    expect((await record_of(store, "parent")).messages).toEqual(turns(2));
  });

  test("rule 2.3: what a fork inherited and the application took out does not come back", async () => {
    const { store, manager, conversation, fork, resume } = await open_fork(backend);
    conversation.load(turns(2).slice(2));
    conversation.turn("on");
    await manager.flush();
    expect(await resume(fork)).toEqual(["question 2", "answer 2", "on", "re: on"]);
    expect((await record_of(store, fork)).metadata).toMatchObject({ detached: true, kind: "fork", message_count: 4 });
    expect((await record_of(store, "parent")).messages).toEqual(turns(2));
  });

  test.each([0, 2])("rule 8.9: save() writes what the parent has lost into the fork (left: %i)", async (left) => {
    const { store, manager, fork, resume } = await open_fork(backend);
    await store.delete("parent");
    await (left > 0 && store.save("parent", turns(2).slice(0, left), { kind: "root" }));
    await manager.save();
    const all = [...texts(turns(2))!, "own", "re: own"];
    expect(await resume(fork)).toEqual(all);
    await store.save("parent", turns(2), {}); // not taken twice when the parent is whole again
    expect(await resume(fork)).toEqual(all);
    expect((await record_of(store, fork)).metadata).toMatchObject({ parent_id: "parent", detached: true });
  });

  test("rule 2: a cut behind an edit that waits to be saved keeps what was inherited", async () => {
    const { manager, conversation, fork, resume } = await open_fork(backend);
    Object.assign(conversation.messages[0]!.content[0]!, { text: "edited" });
    const saved = manager.save();
    conversation.load(conversation.messages.slice(0, 4));
    conversation.turn("instead");
    await saved;
    await manager.flush();
    expect(texts(conversation.messages)?.[0]).toBe("edited");
    expect(await resume(fork)).toEqual(texts(conversation.messages));
  });

  test("rule 1.4: a save that waits is not stored as detached because the application cuts afterwards", async () => {
    const { store, manager, conversation, fork, resume } = await open_fork(backend);
    const held = store.hold_save({ id: fork });
    conversation.turn("first");
    await held.reached;
    conversation.turn("waiting");
    const before_the_cut = texts(conversation.messages);
    conversation.load([user("another beginning")]);
    conversation.turn("on");
    const last = store.hold_save({ id: fork, nth: 2 });
    held.release();
    await last.reached;
    const meanwhile = await resume(fork);
    last.release();
    await manager.flush();
    expect(meanwhile).toEqual(before_the_cut);
    expect(await resume(fork)).toEqual(["another beginning", "on", "re: on"]);
  });

  test("rule 1: a fork of a fork keeps what it inherits when its parent is cut", async () => {
    const { manager, conversation, fork, resume } = await open_fork(backend);
    const leaf = await manager.fork(fork);
    const inherited = texts(conversation.messages);
    await manager.load(fork);
    conversation.turn("waiting");
    await manager.flush();
    conversation.turn("more");
    conversation.load(turns(1));
    conversation.turn("on");
    await manager.flush();
    expect(await resume(leaf)).toEqual(inherited);
    expect(await resume(fork)).toEqual(["question 1", "answer 1", "on", "re: on"]);
  });
});
