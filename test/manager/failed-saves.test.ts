import { describe, expect, test, vi } from "vitest";
import type { SessionManager, SessionSnapshot } from "@simulacra-ai/session";
import { each_backend, has_no_capability, type Backend } from "../backends.js";
import { history_of, others_than, said } from "../support/histories.js";
import { conflicts_of, histories_of, hold_and_fail, repeated, WRITES_OF_MESSAGES } from "../support/faulty-store.js";
import { in_time, outcome_in_time } from "../support/in-time.js";
import { assistant, texts, turns, user } from "../support/messages.js";
import { open_plain, open_recording } from "../support/open-session.js";
import type { PlainConversation } from "../support/plain-conversation.js";
import type { RecordingStore } from "../support/recording-store.js";

/** Adds a turn whose messages have ids, so that a rewind can name them. */
function turn_with_ids(conversation: PlainConversation, text: string): void {
  conversation.messages.push(user(text, `u ${text}`), assistant(`re: ${text}`, `a ${text}`));
  conversation.emit("message_complete");
}

/** Resolves when a `save` event reports this text. */
function saved_with(manager: SessionManager, text: string): Promise<void> {
  return new Promise((resolve) => {
    manager.on("save", ({ messages }: SessionSnapshot) => void (texts(messages)?.includes(text) && resolve()));
  });
}

/** Opens a session with one stored turn and two turns whose saves have failed. The store goes on failing. */
async function open_with_failed_saves(backend: Backend) {
  const store = await open_recording(backend);
  await store.save("other", turns(1, "o"), { kind: "root" });
  const opened = open_plain(store);
  const { manager, conversation } = opened;
  const id = manager.start_new();
  turn_with_ids(conversation, "one");
  await manager.flush();
  store.fail_saves({ times: Infinity });
  for (const text of ["two", "three"]) {
    turn_with_ids(conversation, text);
    await expect(manager.flush()).rejects.toThrow("disk on fire");
  }
  return { store, id, conflicts: conflicts_of(manager), ...opened };
}

type Opened = Awaited<ReturnType<typeof open_with_failed_saves>>;

/** True where one session holds all of these turns. */
function holds(histories: ReadonlyMap<string, string[]>, ...prompts: string[]): boolean {
  const wanted = said(...prompts);
  return [...histories.values()].some((history) => wanted.every((text) => history.includes(text)));
}

/** True where some session begins with these turns. */
function is_beginning(histories: ReadonlyMap<string, string[]>, ...prompts: string[]): boolean {
  const wanted = String(said(...prompts));
  return [...histories.values()].some((history) => String(history.slice(0, 2 * prompts.length)) === wanted);
}

/** Ways to leave a history, and the texts that the conversation holds afterwards. */
const WAYS_ON: [string, (opened: Opened) => unknown, current: string[]][] = [
  ["clear()", ({ conversation }) => conversation.clear(), []],
  ["load() of the conversation", ({ conversation }) => conversation.load(turns(1, "x")), texts(turns(1, "x"))!],
  ["start_new()", ({ manager }) => manager.start_new(), []],
  ["load(another)", ({ manager }) => manager.load("other"), texts(turns(1, "o"))!],
];

/** Ways that need a store that works. `undefined`: the texts that the conversation shows count. */
const WRITING_WAYS_ON: [string, (opened: Opened) => unknown, current: string[] | undefined][] = [
  ["a fork of another session", ({ manager }) => manager.fork("other"), texts(turns(1, "o"))!],
  ["a fork of the same session", ({ manager, id }) => manager.fork(id), undefined],
  ["a rewind", ({ manager }) => manager.rewind("a one"), said("one")],
  ["load() of the same session", ({ manager, id }) => manager.load(id), undefined],
  [
    "start_new() and a load() back",
    ({ manager, id }) => {
      manager.start_new();
      return manager.load(id);
    },
    undefined,
  ],
];

each_backend((backend) => {
  test.each([...WAYS_ON, ...WRITING_WAYS_ON])(
    "rule 10.2: turns whose saves failed are stored though %s comes before the retry",
    async (_what, go_on, current) => {
      const opened = await open_with_failed_saves(backend);
      const { store, manager, conversation, conflicts } = opened;
      store.heal();
      await go_on(opened);
      const shown = texts(conversation.messages) ?? [];
      conversation.turn("four");
      await manager.flush();
      const histories = await histories_of(store);
      expect(histories.get(manager.current_session_id!)).toEqual([...(current ?? shown), ...said("four")]);
      expect(is_beginning(histories, "one", "two", "three")).toBe(true);
      expect([repeated(histories), conflicts, manager.last_error]).toEqual([[], [], undefined]);
    },
  );

  test.each(WAYS_ON)(
    "rule 10.2: turns whose saves failed are stored though %s comes while the store still fails",
    async (_what, go_on, current) => {
      const opened = await open_with_failed_saves(backend);
      const { store, manager, conversation, conflicts } = opened;
      await go_on(opened);
      conversation.turn("four");
      await expect(manager.flush()).rejects.toThrow("disk on fire");
      expect(manager.last_error).toMatchObject({ message: "disk on fire" });
      store.heal();
      await manager.flush();
      const histories = await histories_of(store);
      expect(histories.get(manager.current_session_id!)).toEqual([...current, ...said("four")]);
      expect([...histories.values()]).toContainEqual(said("one", "two", "three"));
      expect([repeated(histories), conflicts, manager.last_error]).toEqual([[], [], undefined]);
    },
  );

  test("rules 10.1 and 10.2: of several histories that were replaced while the store failed, each is stored", async () => {
    const { store, manager, conversation, conflicts } = await open_with_failed_saves(backend);
    for (const text of ["four", "five"]) {
      conversation.clear();
      conversation.turn(text);
      await expect(manager.flush()).rejects.toThrow("disk on fire");
    }
    store.heal();
    await manager.flush();
    const histories = await histories_of(store);
    expect(histories.get(manager.current_session_id!)).toEqual(said("five"));
    expect([...histories.values()]).toContainEqual(said("one", "two", "three"));
    expect([...histories.values()]).toContainEqual(said("four"));
    expect([repeated(histories), conflicts]).toEqual([[], []]);
  });

  test.each(["the first write", "a later write"])(
    "rule 10.2: a turn whose save fails late, behind clear(), is stored: %s",
    async (which) => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_plain(store);
      let held = hold_and_fail(store, WRITES_OF_MESSAGES);
      const id = manager.start_new();
      await held.reached;
      const before = which === "the first write" ? [] : ["one"];
      if (which === "a later write") {
        held.release();
        conversation.turn("one");
        await manager.flush();
        held = hold_and_fail(store, WRITES_OF_MESSAGES);
      }
      conversation.turn("two");
      await held.reached;
      conversation.clear();
      conversation.turn("three");
      held.release();
      await manager.flush();
      const histories = await histories_of(store);
      expect(histories.get(id)).toEqual(said("three"));
      expect([...histories.values()]).toContainEqual(said(...before, "two"));
      expect(histories.size).toBe(2);
    },
  );

  test("rule 11: turns whose saves failed are not stored behind the deletion of their session", async () => {
    const { store, id, manager, conversation } = await open_with_failed_saves(backend);
    const second = manager.start_new();
    store.heal();
    expect(await manager.delete(id)).toBe(true);
    conversation.turn("four");
    await manager.flush();
    expect((await others_than(store, second)).sort()).toEqual(["other"]);
    expect([manager.last_error, manager.pending]).toEqual([undefined, 0]);
  });

  test("rule 15.3: flush() stores what a failed save() was to store, and nothing that came later", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.turn("one");
    store.fail_saves();
    await expect(manager.save()).rejects.toThrow("disk on fire");
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one"));
    await manager.save();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
  });

  test("rule 10.6: with overwrite, nothing of a replaced history is stored by the retry", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { on_replace: "overwrite" });
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    store.fail_saves({ times: 2 });
    conversation.turn("two");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    store.heal();
    conversation.clear();
    conversation.turn("three");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("three"));
    expect(await others_than(store, id)).toEqual([]);
  });

  test("rule 4.3: turns of a child whose saves failed are stored though its conversation is cleared", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    const child = conversation.spawn();
    child.turn("one");
    await manager.flush();
    store.fail_saves({ times: Infinity });
    child.turn("two");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    store.heal();
    child.clear();
    child.turn("three");
    await manager.flush();
    const histories = [...(await histories_of(store)).values()];
    expect(histories).toContainEqual(said("one", "two"));
    expect(histories).toContainEqual(said("three"));
  });

  describe("a session that is loaded again before a failed save is retried", () => {
    async function load_again(store: RecordingStore) {
      const opened = open_plain(store);
      const { manager, conversation, errors } = opened;
      const conflicts = conflicts_of(manager);
      const id = manager.start_new();
      conversation.turn("one");
      await manager.flush();
      store.fail_saves();
      conversation.turn("two");
      await vi.waitFor(() => expect(errors).toHaveLength(1));
      await manager.load(id);
      const shown = texts(conversation.messages) ?? [];
      return { ...opened, id, conflicts, shown };
    }

    test("rules 1.3 and 15.5: every turn is stored when the manager is closed", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, conflicts, shown } = await load_again(store);
      const saved = saved_with(manager, "three");
      conversation.turn("three");
      await in_time(saved, "the save");
      const is_lost = !holds(await histories_of(store), "two");
      expect(is_lost && manager.last_error === undefined).toBe(false);
      const id = manager.current_session_id!;
      await in_time(manager[Symbol.asyncDispose](), "closing");
      const histories = await histories_of(store);
      expect(histories.get(id)).toEqual([...shown, ...said("three")]);
      expect(shown.slice(0, 2)).toEqual(said("one"));
      expect(holds(histories, "two")).toBe(true);
      expect([repeated(histories), conflicts]).toEqual([[], []]);
    });

    test("rule 1.3: every turn is stored where flush() comes before the next turn", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, conflicts, shown } = await load_again(store);
      await manager.flush();
      expect(texts(conversation.messages)).toEqual(shown);
      expect(holds(await histories_of(store), "two")).toBe(true);
      conversation.turn("three");
      await manager.flush();
      const histories = await histories_of(store);
      expect(histories.get(manager.current_session_id!)).toEqual([...shown, ...said("three")]);
      expect(holds(histories, "two")).toBe(true);
      expect([repeated(histories), conflicts, manager.last_error]).toEqual([[], [], undefined]);
    });
  });

  test("rule 4.3: a child's session that its parent loads loses no turn of either conversation", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("of the parent");
    const child = conversation.spawn();
    child.turn("of the child");
    await manager.flush();
    const [child_id] = await others_than(store, id);
    await manager.load(child_id);
    expect(texts(conversation.messages)).toEqual(said("of the child"));
    child.turn("of the child, later");
    await manager.flush();
    conversation.turn("of the parent, later");
    await manager.flush();
    child.turn("of the child, last");
    await manager.flush();
    const histories = await histories_of(store);
    expect(histories.get(id)).toEqual(said("of the parent"));
    expect(is_beginning(histories, "of the child", "of the child, later", "of the child, last")).toBe(true);
    expect(is_beginning(histories, "of the child", "of the parent, later")).toBe(true);
    expect(repeated(histories)).toEqual([]);
  });

  test("rules 1.3 and 27: a rename that succeeds does not make a failed save good", async () => {
    const { store, id, manager } = await open_with_failed_saves(backend);
    store.heal();
    store.fail(["append", "replace"], { times: Infinity });
    if (store.update !== undefined) {
      await manager.rename(id, "renamed");
      expect(manager.last_error).toMatchObject({ message: "disk on fire" });
    }
    store.heal();
    await manager.flush();
    expect(manager.last_error).toBeUndefined();
    expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
  });

  test("rules 1.3 and 27: a save of another session does not make a failed save good", async () => {
    const { store, id, manager, conversation } = await open_with_failed_saves(backend);
    store.heal();
    store.fail_saves({ id, times: Infinity });
    const second = manager.start_new();
    conversation.turn("four");
    expect(await outcome_in_time(manager.flush())).not.toBe("done");
    expect(await history_of(store, second)).toEqual(said("four"));
    expect(manager.last_error).toMatchObject({ message: "disk on fire" });
    store.heal();
    await manager.flush();
    expect(manager.last_error).toBeUndefined();
    expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
  });
});

each_backend((backend) => {
  test("rule 9.6: without revisions, a write behind load() compares with what is stored", async () => {
    const store = await open_recording(backend);
    await store.save("s", turns(1), { kind: "root" });
    const [ours, theirs] = [open_plain(store), open_plain(store)];
    await ours.manager.load("s");
    await theirs.manager.load("s");
    theirs.conversation.turn("theirs");
    await theirs.manager.flush();
    ours.conversation.turn("ours");
    await ours.manager.flush();
    const histories = await histories_of(store);
    expect(histories.get(ours.manager.current_session_id!)).toEqual([...texts(turns(1))!, ...said("ours")]);
    expect([...histories.values()]).toContainEqual([...texts(turns(1))!, ...said("theirs")]);
  });

  test.each(["keep", "overwrite"] as const)(
    "rule 9.6: without revisions, the retry of a failed write compares with what is stored, with on_replace: %s",
    async (on_replace) => {
      const store = await open_recording(backend);
      const [ours, theirs] = [open_plain(store, { on_replace }), open_plain(store)];
      const conflicts = conflicts_of(ours.manager);
      const id = ours.manager.start_new();
      ours.conversation.turn("one");
      await ours.manager.flush();
      store.fail_saves();
      ours.conversation.turn("ours");
      await vi.waitFor(() => expect(ours.errors).toHaveLength(1));
      await theirs.manager.load(id);
      theirs.conversation.turn("theirs");
      await theirs.manager.flush();
      await ours.manager.flush();
      const histories = await histories_of(store);
      expect(conflicts.map((conflict) => conflict.id)).toEqual([id]);
      expect(histories.get(ours.manager.current_session_id!)).toEqual(said("one", "ours"));
      expect(histories.get(id)).toEqual(said("one", "theirs"));
    },
  );
}, has_no_capability);
