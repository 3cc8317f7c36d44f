import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { texts, turns } from "../support/messages.js";
import { conflicts_of } from "../support/faulty-store.js";
import { metadata_of, open_backend, open_plain, record_of } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";
import { RecordingStore } from "../support/recording-store.js";
import { open_loaded, T } from "./operations/rewind-session.js";
import {
  each_store,
  fork_after,
  history_of,
  only_other,
  open_with_turns,
  others_than,
  said,
} from "../support/histories.js";

const REPLACE: [string, (conversation: PlainConversation) => void, string[]][] = [
  [
    "cleared",
    (conversation) => {
      conversation.clear();
      conversation.turn("new");
    },
    said("new"),
  ],
  [
    "loaded with other messages",
    (conversation) => {
      conversation.load(turns(1, "x"));
      conversation.emit("message_complete");
    },
    ["question x1", "answer x1"],
  ],
  [
    "cut short",
    (conversation) => {
      conversation.load(conversation.messages.slice(0, 2));
      conversation.turn("new");
    },
    said("one", "new"),
  ],
  [
    "cut short, and nothing said",
    (conversation) => {
      conversation.load(conversation.messages.slice(0, 2));
      conversation.emit("message_complete");
    },
    said("one"),
  ],
  [
    "changed in the middle",
    (conversation) => {
      const messages = structuredClone(conversation.messages);
      messages[1] = { role: "assistant", content: [{ type: "text", text: "other" }] };
      conversation.load(messages);
      conversation.emit("message_complete");
    },
    ["one", "other", "two", "re: two"],
  ],
];

each_store((backend) => {
  test.each(REPLACE)("rule 10.1: where the conversation is %s the old version is kept", async (_what, replace, now) => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one", "two"]);
    const before = await record_of(store, id);
    replace(conversation);
    await manager.flush();
    expect(manager.current_session_id).toBe(id);
    expect(await history_of(store, id)).toEqual(now);
    const kept = await only_other(store, id);
    expect(kept.history).toEqual(said("one", "two"));
    expect(kept.metadata).toMatchObject({
      kind: "fork",
      label: "one (replaced)",
      created_at: before.metadata.created_at,
      updated_at: before.metadata.updated_at,
    });
    expect(kept.metadata).not.toHaveProperty("parent_id");
    expect((await metadata_of(store, id)).kind).toBe("root");
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, id)).toEqual([...now, ...said("on")]);
    expect(await others_than(store, id, kept.id)).toEqual([]);
    expect(errors).toEqual([]);
  });

  test("rule 10.1: an edit in place counts with an explicit save", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one", "two"]);
    const part = conversation.messages[2]?.content[0];
    if (part?.type === "text") {
      part.text = "edited";
    }
    await manager.save();
    expect(await history_of(store, id)).toEqual([...said("one"), "edited", "re: two"]);
    expect((await only_other(store, id)).history).toEqual(said("one", "two"));
  });

  test("rule 10.1: every version is kept, not the first alone", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const versions = [said("one")];
    for (const text of ["two", "three", "four"]) {
      conversation.clear();
      conversation.turn(text);
      await manager.flush();
      versions.push(said(text));
    }
    const others = await others_than(store, id);
    const histories = await Promise.all(others.map((other) => history_of(store, other)));
    expect(histories.sort()).toEqual(versions.slice(0, -1).sort());
    expect(await history_of(store, id)).toEqual(versions.at(-1));
  });

  test("rule 10.3: forks whose fork point is gone inherit from the old version, others stay", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one", "two"]);
    const early = await fork_after(store, id, 2, "early");
    const late = await fork_after(store, id, 4, "late");
    const nested = await fork_after(store, late, 5, "nested");
    const late_before = await record_of(store, late);
    conversation.load(conversation.messages.slice(0, 3));
    conversation.turn("new");
    await manager.flush();
    const kept = (await others_than(store, id, early, late, nested))[0]!;
    expect((await metadata_of(store, early)).parent_id).toBe(id);
    expect((await metadata_of(store, late)).parent_id).toBe(kept);
    expect((await metadata_of(store, late)).updated_at).toBe(late_before.metadata.updated_at);
    expect((await metadata_of(store, nested)).parent_id).toBe(late);
    expect(await history_of(store, early)).toEqual(said("one", "early"));
    expect(await history_of(store, late)).toEqual(said("one", "two", "late"));
    expect(await history_of(store, nested)).toEqual([...said("one", "two"), "late", ...said("nested")]);
    expect(await history_of(store, kept)).toEqual(said("one", "two"));
    expect(await history_of(store, id)).toEqual(["one", "re: one", "two", ...said("new")]);
  });

  describe.each([
    ["clear()", 0],
    ["a cut to the first message", 1],
    ["a cut to the second message", 2],
  ])("with %s", (_name, count) => {
    test("rule 10.4: a cut into what a fork inherits makes it hold all its messages itself", async () => {
      const { store, id: parent, manager, conversation } = await open_with_turns(backend, ["one", "two"]);
      const id = await manager.fork(parent);
      conversation.turn("in the fork");
      await manager.flush();
      const nested = await fork_after(store, id, 6, "nested");
      const kept_messages = conversation.messages.slice(0, count);
      const rest = said("one").slice(0, count);
      conversation.load(kept_messages);
      conversation.turn("new");
      await manager.flush();
      expect(await metadata_of(store, id)).toMatchObject({ detached: true, message_count: count + 2 });
      expect(await history_of(store, id)).toEqual([...rest, ...said("new")]);
      const kept = await only_other(store, parent, id, nested);
      expect(kept.metadata).toMatchObject({ parent_id: parent, fork_message_count: 4, message_count: 2 });
      expect(kept.history).toEqual(said("one", "two", "in the fork"));
      expect(await history_of(store, nested)).toEqual(said("one", "two", "in the fork", "nested"));
      expect(await history_of(store, parent)).toEqual(said("one", "two"));
      conversation.turn("on");
      await manager.save();
      expect(await history_of(store, id)).toEqual([...rest, ...said("new", "on")]);
    });
  });

  test("rule 10.5: checkpoints keep no old version", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const child = new PlainConversation();
    child.is_checkpoint = true;
    conversation.spawn(child);
    child.turn("summarize");
    await manager.flush();
    child.clear();
    child.turn("again");
    await manager.flush();
    const checkpoint = await only_other(store, id);
    expect(checkpoint.metadata.kind).toBe("checkpoint");
    expect(checkpoint.history).toEqual(said("again"));
  });

  test("rule 10.1: a child's replaced history is kept", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const child = conversation.spawn();
    child.turn("first");
    await manager.flush();
    const [child_id = ""] = await others_than(store, id);
    child.clear();
    child.turn("second");
    await manager.flush();
    const kept = await only_other(store, id, child_id);
    expect(kept.history).toEqual(said("first"));
    expect(await metadata_of(store, child_id)).toMatchObject({ kind: "child", parent_id: id });
  });

  test('rule 10.6: with "overwrite" no version is kept, and forks take what they inherit', async () => {
    const options = { on_replace: "overwrite" as const };
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one", "two"], options);
    const early = await fork_after(store, id, 2, "early");
    const late = await fork_after(store, id, 4, "late");
    const nested = await fork_after(store, late, 6, "nested");
    conversation.load(conversation.messages.slice(0, 2));
    conversation.turn("new");
    await manager.flush();
    expect(await others_than(store, id, early, late, nested)).toEqual([]);
    expect(await history_of(store, id)).toEqual(said("one", "new"));
    expect(await metadata_of(store, late)).toMatchObject({ parent_id: id, detached: true, message_count: 6 });
    expect((await metadata_of(store, early)).detached).toBeUndefined();
    expect(await history_of(store, early)).toEqual(said("one", "early"));
    expect(await history_of(store, late)).toEqual(said("one", "two", "late"));
    expect(await history_of(store, nested)).toEqual(said("one", "two", "late", "nested"));
  });

  test.each([1, 2, 3])("rule 10.1: where write %i fails, a retry makes no second copy", async (nth) => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one", "two"]);
    const late = await fork_after(store, id, 4, "late");
    conversation.clear();
    store.fail(["save", "append", "replace", "update"], { nth });
    conversation.turn("new");
    await manager.flush();
    store.heal();
    await manager.flush();
    const kept = await only_other(store, id, late);
    expect(kept.history).toEqual(said("one", "two"));
    expect(await history_of(store, late)).toEqual(said("one", "two", "late"));
    expect(await history_of(store, id)).toEqual(said("new"));
  });

  test.each([1, 2, 3])(
    "rule 10.1: where the answer to write %i is lost, there is no second copy either",
    async (nth) => {
      const { store, id, manager, conversation } = await open_with_turns(backend, ["one", "two"]);
      const late = await fork_after(store, id, 4, "late");
      conversation.clear();
      store.lose_answer(["save", "append", "replace", "update"], { nth });
      conversation.turn("new");
      await manager.flush();
      const kept = await only_other(store, id, late);
      expect(kept.history).toEqual(said("one", "two"));
      expect(await history_of(store, late)).toEqual(said("one", "two", "late"));
      expect(await history_of(store, id)).toEqual(said("new"));
    },
  );

  /** Replaces the conversation. The old version is stored, though that is reported as failed. Returns its id. */
  async function open_with_lost_copy() {
    const opened = await open_loaded(backend);
    const { store, manager, conversation } = opened;
    conversation.load(turns(1, "x"));
    store.lose_answer(["save", "replace"]);
    await expect(manager.save()).rejects.toThrow("connection lost");
    const { id: copy } = await only_other(store, "s");
    const other = open_plain(store);
    await other.manager.load(copy);
    return { copy, other, ...opened };
  }

  test("rule 10: a retry leaves a kept version alone in which somebody went on", async () => {
    const { store, manager, copy, other } = await open_with_lost_copy();
    other.conversation.turn("theirs");
    await other.manager.flush();
    await manager.flush();
    expect(await history_of(store, "s")).toEqual(texts(turns(1, "x")));
    expect((await only_other(store, "s")).id).toBe(copy);
    expect(await history_of(store, copy)).toEqual([...T(3), ...said("theirs")]);
  });

  test("rule 10: a retry leaves a kept version alone in which somebody went another way", async () => {
    const { store, manager, copy, other } = await open_with_lost_copy();
    const tail = await other.manager.rewind("a1");
    other.conversation.turn("instead");
    await other.manager.flush();
    await manager.flush();
    expect(await history_of(store, copy)).toEqual([...T(1), ...said("instead")]);
    expect((await only_other(store, "s", copy, tail)).history).toEqual(T(3));
  });

  test("rule 10: a retry leaves a kept version alone that somebody rewound", async () => {
    const { store, manager, copy, other } = await open_with_lost_copy();
    await sleep(5); // dates count milliseconds
    const tail = await other.manager.rewind("a1");
    await manager.flush();
    expect(await history_of(store, copy)).toEqual(T(1));
    expect((await only_other(store, "s", copy, tail)).history).toEqual(T(3));
  });

  test("rule 10: a retry leaves a kept version alone that the same manager loaded and rewound", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    conversation.load(turns(1, "x"));
    store.lose_answer(["save", "replace"]);
    await expect(manager.save()).rejects.toThrow("connection lost");
    const { id: copy } = await only_other(store, "s");
    await sleep(5); // dates count milliseconds
    await manager.load(copy);
    const tail = await manager.rewind("a1");
    await manager.flush();
    expect(await history_of(store, copy)).toEqual(T(1));
    expect(await history_of(store, "s")).toEqual(texts(turns(1, "x")));
    expect((await only_other(store, "s", copy, tail)).history).toEqual(T(3));
  });

  test('rule 10.6: with "overwrite" the current fork of a replaced session goes on whole', async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"], { on_replace: "overwrite" });
    const held = store.hold(["save", "replace"]);
    const forked = manager.fork(id);
    await held.reached;
    conversation.clear();
    const saved = manager.save(); // of the session that is current still
    held.release();
    const fork = await forked;
    await saved;
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, fork)).toEqual(said("one", "on"));
  });

  test("rule 10: another writer's rename of the old version, by a write of everything, is no conflict", async () => {
    const store = new RecordingStore((await open_backend(backend)).store, ["update"]);
    await store.save("s", turns(3), { kind: "root" });
    const { manager, conversation } = open_plain(store);
    const conflicts = conflicts_of(manager);
    await manager.load("s");
    await open_plain(store).manager.rename("s", "theirs");
    conversation.load(turns(1, "x"));
    await manager.save();
    expect(conflicts).toEqual([]);
    expect(await history_of(store, "s")).toEqual(texts(turns(1, "x")));
    expect((await only_other(store, "s")).history).toEqual(T(3));
  });

  test("rule 10.1: with a write that fails and messages replaced once more, nothing stored is lost", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    store.fail_saves({ nth: 2 });
    conversation.clear();
    conversation.turn("lost in memory alone");
    await manager.flush().catch(() => undefined);
    conversation.clear();
    conversation.turn("new");
    await manager.flush();
    store.heal();
    const histories = await Promise.all((await others_than(store, id)).map((other) => history_of(store, other)));
    expect(histories).toContainEqual(said("one"));
    expect(await history_of(store, id)).toEqual(said("new"));
  });

  test("rule 10.1: a session without messages leaves no version behind", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, []);
    conversation.turn("new");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("new"));
    expect(await others_than(store, id)).toEqual([]);
  });

  test("rule 10.1: a kept version is a session like any other", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    conversation.clear();
    conversation.turn("new");
    await manager.flush();
    const kept = await only_other(store, id);
    const other = open_plain(store);
    await other.manager.load(kept.id);
    other.conversation.turn("on");
    await other.manager.flush();
    expect(await history_of(store, kept.id)).toEqual(said("one", "on"));
    expect(await history_of(store, id)).toEqual(said("new"));
  });
});
