import type { Message } from "@simulacra-ai/core";
import { expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { history_of, only_other, others_than, said } from "../support/histories.js";
import { assistant, texts, user } from "../support/messages.js";
import { metadata_of, open_backend, open_plain } from "../support/open-session.js";

/** Three turns. The first two replies have the same id. */
const MESSAGES: Message[] = [
  user("one", "u1"),
  assistant("first answer", "same"),
  user("two", "u2"),
  assistant("second answer", "same"),
  user("three", "u3"),
  assistant("last answer", "a3"),
];

const ALL = texts(MESSAGES)!;

each_backend((backend) => {
  async function open_stored() {
    const { store } = await open_backend(backend);
    await store.save("s", MESSAGES, { kind: "root" });
    return { store, ...open_plain(store) };
  }

  test.each(["s", "another session"])(
    "rule 8.1: a fork at an id that occurs twice begins behind the last of the two, with %s being the current one",
    async (current) => {
      const { store, manager, conversation } = await open_stored();
      await (current === "s" ? manager.load("s") : (manager.start_new(), manager.flush()));
      const fork = await manager.fork("s", { message_id: "same" });
      expect(texts(conversation.messages)).toEqual(ALL.slice(0, 4));
      conversation.turn("in the fork");
      await manager.flush();
      expect(await metadata_of(store, fork)).toMatchObject({
        parent_id: "s",
        fork_message_id: "same",
        fork_message_count: 4,
        message_count: 2,
      });
      expect(await history_of(store, fork)).toEqual([...ALL.slice(0, 4), ...said("in the fork")]);
    },
  );

  test("rule 8.1: a detached fork at such an id names it", async () => {
    const { store, manager } = await open_stored();
    const fork = await manager.fork("s", { message_id: "same", detached: true });
    await manager.flush();
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: "s", fork_message_id: "same", detached: true });
  });

  test("rule 16.1: a rewind to an id that occurs twice goes to the last of the two", async () => {
    const { store, manager, conversation } = await open_stored();
    await manager.load("s");
    const tail = await manager.rewind("same");
    expect(texts(conversation.messages)).toEqual(ALL.slice(0, 4));
    conversation.turn("instead");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...ALL.slice(0, 4), ...said("instead")]);
    expect(await metadata_of(store, tail!)).toMatchObject({ fork_message_id: "same", fork_message_count: 4 });
    expect(await history_of(store, tail!)).toEqual(ALL);
  });

  test("rule 16.3: a rewind to the last message changes nothing, though its id occurs twice", async () => {
    const { store, manager, conversation } = await open_stored();
    await store.save("s", MESSAGES.slice(0, 4));
    await manager.load("s");
    expect(await manager.rewind("same")).toBeUndefined();
    expect(texts(conversation.messages)).toEqual(ALL.slice(0, 4));
    expect(await history_of(store, "s")).toEqual(ALL.slice(0, 4));
    expect(await others_than(store, "s")).toEqual([]);
  });

  test("rule 16.1: such an id in what a fork inherits and in its own messages means its own", async () => {
    const { store, manager, conversation } = await open_stored();
    const fork = await manager.fork("s", { message_id: "u3" });
    conversation.messages.push(assistant("third answer", "same"), user("four", "u4"));
    conversation.turn("five");
    await manager.flush();
    await manager.rewind("same");
    expect(texts(conversation.messages)).toEqual([...ALL.slice(0, 5), "third answer"]);
    expect(await history_of(store, fork)).toEqual([...ALL.slice(0, 5), "third answer"]);
    expect(await history_of(store, "s")).toEqual(ALL);
  });

  /** Stores one fork behind the second of the two messages, and one behind the first. */
  async function open_forked() {
    const opened = await open_stored();
    const lineage = { kind: "fork", parent_id: "s", fork_message_id: "same" } as const;
    await opened.store.save("late", [user("late", "l")], { ...lineage, fork_message_count: 4 });
    await opened.store.save("early", [user("early", "e")], { ...lineage, fork_message_count: 2 });
    return opened;
  }

  const late = [...ALL.slice(0, 4), "late"];
  const early = [...ALL.slice(0, 2), "early"];

  test("rule 16.4: a cut between two messages of one id costs no fork what it inherits", async () => {
    const { store, manager } = await open_forked();
    await manager.load("s");
    await manager.rewind("u2");
    expect(await history_of(store, "s")).toEqual(ALL.slice(0, 3));
    expect([await history_of(store, "late"), await history_of(store, "early")]).toEqual([late, early]);
  });

  test("rule 10.3: replacing what is behind the first of them costs no fork what it inherits", async () => {
    const { store, manager, conversation } = await open_forked();
    await manager.load("s");
    conversation.load(MESSAGES.slice(0, 2));
    conversation.turn("instead");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...ALL.slice(0, 2), ...said("instead")]);
    expect([await history_of(store, "late"), await history_of(store, "early")]).toEqual([late, early]);
    expect((await only_other(store, "s", "late", "early")).history).toEqual(ALL);
  });

  test("rule 11: deleting their parent costs no fork what it inherits", async () => {
    const { store, manager } = await open_forked();
    expect(await manager.delete("s")).toBe(true);
    expect([await history_of(store, "late"), await history_of(store, "early")]).toEqual([late, early]);
  });

  test("rule 8.1: a fork of such a fork inherits as much", async () => {
    const { store, manager, conversation } = await open_forked();
    const fork = await manager.fork("late", { message_id: "same" });
    expect(texts(conversation.messages)).toEqual(ALL.slice(0, 4));
    conversation.turn("further");
    await manager.flush();
    expect(await history_of(store, fork)).toEqual([...ALL.slice(0, 4), ...said("further")]);
  });

  test("rule 9.2: a fork made by a conflict begins behind the last common message, whatever its id", async () => {
    const { store } = await open_stored();
    await store.save("s", MESSAGES.slice(0, 4));
    const [ours, theirs] = [open_plain(store), open_plain(store)];
    await ours.manager.load("s");
    await theirs.manager.load("s");
    theirs.conversation.turn("theirs");
    await theirs.manager.flush();
    ours.conversation.turn("ours");
    await ours.manager.flush();
    const id = ours.manager.current_session_id!;
    expect(await history_of(store, id)).toEqual([...ALL.slice(0, 4), ...said("ours")]);
    const histories = await Promise.all((await store.list()).map((entry) => history_of(store, entry.id)));
    expect(histories).toContainEqual([...ALL.slice(0, 4), ...said("theirs")]);
  });
});
