import { expect, test } from "vitest";
import { turns } from "../../support/messages.js";
import { contents_of, open_plain, record_of } from "../../support/open-session.js";
import { T, open_fork, open_loaded } from "./rewind-session.js";
import { each_store, each_watchful_store, fork_after, history_of, others_than, said } from "../../support/histories.js";

each_store((backend) => {
  test.each([1, 2, 3])("rule 16.5: where write %i fails all is as before, and a retry makes one fork", async (nth) => {
    const { store, manager, conversation } = await open_loaded(backend);
    const late = await fork_after(store, "s", 5, "late");
    const before = await contents_of(store);
    store.fail(["save", "append", "replace", "update"], { nth });
    await expect(manager.rewind("a1")).rejects.toThrow("disk on fire");
    store.heal();
    expect(conversation.messages).toEqual(turns(3));
    expect(await contents_of(store)).toEqual(before);
    const fork = await manager.rewind("a1");
    expect(await others_than(store, "s", late)).toEqual([fork]);
    expect(await history_of(store, late)).toEqual([...T(3).slice(0, 5), ...said("late")]);
  });

  test.each([
    ["with its fork point", { fork_message_id: "a2", fork_message_count: 4 }],
    ["with a count alone", { fork_message_count: 4 }],
    ["with nothing but its parent", {}],
  ])("rule 16.5: what was taken back of a fork %s is as before", async (_name, metadata) => {
    const { store, manager, conversation } = await open_fork(backend, metadata);
    const before = await contents_of(store);
    conversation.state = "idle";
    const held = store.hold_answer(["replace", "save"], { id: "s" });
    const rewound = manager.rewind("a1");
    await held.reached;
    conversation.state = "streaming_response";
    held.release();
    await expect(rewound).rejects.toMatchObject({ message: expect.stringMatching(/^invalid state/) as string });
    expect(await contents_of(store)).toEqual(before);
    conversation.state = "idle";
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...T(2), "question f1", "answer f1", ...said("on")]);
  });
});

each_store((backend) => {
  test("rule 16.5: a cut that is reported as failed though it was made leaves the tail, and the fork of it", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const late = await fork_after(store, "s", 5, "late");
    store.lose_answer(["replace", "save"], { id: "s" });
    await expect(manager.rewind("a1")).rejects.toThrow("connection lost");
    const [tail = ""] = await others_than(store, "s", late);
    expect(await history_of(store, tail)).toEqual(T(3));
    expect(await history_of(store, late)).toEqual([...T(3).slice(0, 5), ...said("late")]);
    conversation.turn("on");
    await manager.save();
    expect(await history_of(store, "s")).toEqual([...T(3), ...said("on")]);
  });

  test("rule 16: a cut that is reported as failed though it was made is taken back by the next flush()", async () => {
    const { store, manager } = await open_loaded(backend);
    store.lose_answer(["replace", "save"], { id: "s" });
    await expect(manager.rewind("a1")).rejects.toThrow("connection lost");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual(T(3));
  });

  test("rule 16: where a cut cannot be taken back for a save() meanwhile, the rewind still tells of its tail", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const held = store.hold_answer(["replace", "save"], { id: "s" });
    const rewound = manager.rewind("a1");
    await held.reached;
    const saved = manager.save({ custom: { said: "meanwhile" } });
    store.fail(["replace", "save"], { id: "s" });
    held.release();
    const fork = await rewound;
    await saved;
    await manager.flush();
    expect(conversation.messages).toEqual(turns(1));
    expect(await history_of(store, "s")).toEqual(T(1));
    expect(await history_of(store, fork!)).toEqual(T(3));
    expect((await record_of(store, "s")).metadata.custom).toEqual({ said: "meanwhile" });
  });

  test("rule 16.2: rewind() behind load() rewinds the session that is loaded then", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    await store.save("other", turns(2), { kind: "root" });
    const before = await record_of(store, "s");
    const [, fork] = await Promise.all([manager.load("other"), manager.rewind("a1")]);
    expect(manager.current_session_id).toBe("other");
    expect(conversation.messages).toEqual(turns(1));
    expect(await record_of(store, "s")).toEqual(before);
    expect(await history_of(store, fork!)).toEqual(T(2));
  });

  test("rule 16.2: rewind() in front of start_new() cuts nothing that it does not show", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const before = await record_of(store, "s");
    const rewound = manager.rewind("a1");
    const id = manager.start_new();
    await expect(rewound).rejects.toMatchObject({ code: "invalid_state" });
    expect([manager.current_session_id, conversation.messages]).toEqual([id, []]);
    expect(await record_of(store, "s")).toEqual(before);
  });

  test("rule 16.5: what is undone takes back nothing that others said of the session", async () => {
    const { store, manager, conversation } = await open_fork(backend);
    conversation.state = "idle";
    const held = store.hold_answer(["replace", "save"], { id: "s" });
    const rewound = manager.rewind("a1");
    await held.reached;
    await open_plain(store).manager.rename("s", "theirs");
    conversation.state = "streaming_response";
    held.release();
    await expect(rewound).rejects.toMatchObject({ message: expect.stringMatching(/^invalid state/) as string });
    expect((await record_of(store, "s")).metadata.label).toBe("theirs");
    expect(await history_of(store, "s")).toEqual([...T(2), "question f1", "answer f1"]);
  });
});

each_watchful_store((backend) => {
  test("rule 2: behind a rewind that was taken back nothing is read for a turn", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    conversation.state = "idle";
    const held = store.hold_answer("replace", { id: "s" });
    const rewound = manager.rewind("a1");
    await held.reached;
    conversation.state = "streaming_response";
    held.release();
    await expect(rewound).rejects.toMatchObject({ code: "invalid_state" });
    conversation.state = "idle";
    store.forget_calls();
    conversation.turn("on");
    await manager.list(); // waits for the save of the turn
    expect(store.calls.map(({ method }) => method)).toEqual(["append", "list"]);
    expect(await history_of(store, "s")).toEqual([...T(3), ...said("on")]);
  });

  test("rule 16: where another manager has rewound it the same way, the conversation is rewound, too", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const other = open_plain(store);
    await other.manager.load("s");
    const held = store.hold("load");
    const rewound = manager.rewind("a1");
    await held.reached;
    await other.manager.rewind("a1");
    held.release();
    await rewound;
    expect(conversation.messages).toEqual(turns(1));
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...T(1), ...said("on")]);
    expect((await others_than(store, "s")).length).toBeGreaterThan(0);
  });

  test("rule 16.3: what another writer has added is cut off with the rest, and lives on", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const other = open_plain(store);
    await other.manager.load("s");
    other.conversation.turn("theirs");
    await other.manager.flush();
    const fork = await manager.rewind("a1");
    expect(manager.current_session_id).toBe("s");
    expect(await history_of(store, fork!)).toEqual([...T(3), ...said("theirs")]);
    other.conversation.turn("more");
    await other.manager.flush();
    conversation.turn("on");
    await manager.flush();
    const histories = await Promise.all((await others_than(store)).map((id) => history_of(store, id)));
    expect(histories).toContainEqual([...T(3), ...said("theirs", "more")]);
    expect(histories).toContainEqual([...T(1), ...said("on")]);
  });

  test("rule 16.5: where another writer comes between, nothing of either is lost", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const other = open_plain(store);
    await other.manager.load("s");
    const held = store.hold_answer("replace");
    const rewound = manager.rewind("a1").catch((error: unknown) => error);
    await held.reached;
    other.conversation.turn("theirs");
    await other.manager.flush();
    held.release();
    const outcome = await rewound;
    const histories = await Promise.all((await others_than(store)).map((id) => history_of(store, id)));
    expect(histories).toContainEqual([...T(3), ...said("theirs")]);
    if (outcome instanceof Error) {
      expect(outcome).toMatchObject({ code: "conflict" });
      expect(conversation.messages).toEqual(turns(3));
      expect(await others_than(store, "s")).toEqual([]);
    } else {
      expect(conversation.messages).toEqual(turns(1));
    }
  });
});
