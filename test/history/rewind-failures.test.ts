import { expect, test } from "vitest";
import { turns } from "../support/messages.js";
import { contents_of, open_plain } from "../support/open-session.js";
import { T, open_fork, open_loaded } from "./rewind-session.js";
import { each_store, each_watchful_store, fork_after, history_of, others_than, said } from "./stores.js";

each_store((backend) => {
  test.each([1, 2, 3])("rule 16: where write %i fails all is as before, and a retry makes one fork", async (nth) => {
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
  ])("rule 16: what was taken back of a fork %s is as before", async (_name, metadata) => {
    const { store, manager, conversation } = await open_fork(backend, metadata);
    const before = await contents_of(store);
    conversation.state = "idle";
    const held = store.hold_answer(["replace", "save"], { id: "s" });
    const rewound = manager.rewind("a1");
    await held.reached;
    conversation.state = "streaming_response";
    held.release();
    await expect(rewound).rejects.toMatchObject({ message: "invalid state" });
    expect(await contents_of(store)).toEqual(before);
    conversation.state = "idle";
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...T(2), "question f1", "answer f1", ...said("on")]);
  });
});

each_watchful_store((backend) => {
  test("rule 16: what another writer has added is cut off with the rest, and lives on", async () => {
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

  test("rule 16: where another writer comes between, nothing of either is lost", async () => {
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
