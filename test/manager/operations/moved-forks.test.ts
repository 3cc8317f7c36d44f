import { expect, test } from "vitest";
import { assistant, turns, user } from "../../support/messages.js";
import { metadata_of, open_plain, open_recording } from "../../support/open-session.js";
import { open_loaded } from "./rewind-session.js";
import { each_watchful_store, fork_after, history_of, said } from "../../support/histories.js";

/** Turns without ids, as `said` has them. */
const without_ids = (...prompts: string[]) => prompts.flatMap((prompt) => [user(prompt), assistant(`re: ${prompt}`)]);

each_watchful_store((backend) => {
  test("rule 11: a fork that is moved while its parent is read for it keeps what it inherits", async () => {
    const store = await open_recording(backend);
    await store.save("s", without_ids("one", "two"), { kind: "root" });
    const fork = await fork_after(store, "s", 4, "late");
    const other = open_plain(store);
    await other.manager.load("s");
    const held = store.hold("load", { id: "s" });
    const deleted = open_plain(store).manager.delete("s");
    await held.reached;
    other.conversation.load(without_ids("new", "newer", "newest"));
    other.conversation.emit("message_complete");
    await other.manager.flush();
    held.release();
    await deleted;
    expect(await history_of(store, fork)).toEqual(said("one", "two", "late"));
  });

  test("rule 11: a fork whose parent another manager has just cut is waited for", async () => {
    const store = await open_recording(backend);
    await store.save("s", turns(1), { kind: "root" });
    await store.save("tail", turns(2).slice(2), { kind: "fork", parent_id: "s", fork_message_id: "a1" });
    const inherited = { fork_message_id: "a2", fork_message_count: 4 };
    await store.save("fork", without_ids("in the fork"), { kind: "fork", parent_id: "s", ...inherited });
    const move = async (perform: () => Promise<unknown>) => {
      await store.save("fork", without_ids("in the fork"), { parent_id: "tail" });
      return perform();
    };
    store.intercept("load", move, { id: "fork", nth: 4 });
    await open_plain(store).manager.delete("s");
    expect((await history_of(store, "fork"))?.slice(1)).toEqual([
      "answer 1",
      "question 2",
      "answer 2",
      ...said("in the fork"),
    ]);
  });

  test("rule 16.4: a fork that is given another parent meanwhile stays with that", async () => {
    const { store, manager } = await open_loaded(backend);
    await store.save("p", turns(3), { kind: "root" });
    const fork = await fork_after(store, "s", 5, "late");
    const other = open_plain(store);
    await other.manager.load(fork);
    const before = await history_of(store, fork);
    const held = store.hold_answer("list");
    const rewound = manager.rewind("a1");
    await held.reached;
    await other.manager.save({ parent_id: "p", fork_message_id: "u3" });
    held.release();
    await rewound;
    expect(await metadata_of(store, fork)).toMatchObject({ parent_id: "p", fork_message_count: 5 });
    expect(await history_of(store, fork)).toEqual(before);
  });
});
