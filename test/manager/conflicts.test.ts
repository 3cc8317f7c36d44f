import { deferred, type ModelRequest, type ScriptedStep } from "@simulacra-ai/core";
import type { ConflictEvent } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import type { Backend } from "../backends.js";
import { texts, turns } from "../support/messages.js";
import { contents_of, metadata_of, open_plain, open_session, record_of } from "../support/open-session.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { each_store, each_watchful_store, history_of, open_with_turns, said } from "../support/histories.js";
import type { SessionManager, SessionManagerOptions } from "@simulacra-ai/session";

function conflicts_of(manager: SessionManager): ConflictEvent[] {
  const events: ConflictEvent[] = [];
  manager.on("conflict", (event) => events.push(event));
  return events;
}

/** Two managers that hold one stored session with the turn `one`. */
async function open_two(backend: Backend, options: SessionManagerOptions = {}) {
  const first = await open_with_turns(backend, ["one"], options);
  const second = open_plain(first.store, options);
  await second.manager.load(first.id);
  return { ...first, conflicts: conflicts_of(first.manager), second };
}

each_watchful_store((backend) => {
  test("rule 9.2: where two managers diverge both histories live on, ours as a fork", async () => {
    const { store, id, manager, conversation, conflicts, errors, second } = await open_two(backend);
    second.conversation.turn("theirs");
    await second.manager.flush();
    conversation.turn("ours");
    await manager.flush();
    const [event] = conflicts;
    expect(conflicts).toHaveLength(1);
    expect(event).toMatchObject({ id, error: { name: "SessionError", code: "conflict", session_id: id } });
    expect(event?.fork_id).toBe(manager.current_session_id);
    expect(event?.fork_id).not.toBe(id);
    expect(Object.isFrozen(event)).toBe(true);
    expect(await history_of(store, id)).toEqual(said("one", "theirs"));
    expect(await history_of(store, event!.fork_id)).toEqual(said("one", "ours"));
    const metadata = await metadata_of(store, event!.fork_id);
    expect(metadata).toMatchObject({ kind: "fork", parent_id: id, fork_message_count: 2, message_count: 2 });
    expect(metadata).not.toHaveProperty("detached");
    expect(await store.list()).toHaveLength(2);
    expect([errors, second.errors]).toEqual([[], []]);
    expect(second.manager.current_session_id).toBe(id);
  });

  test("rule 9.2: later turns go to the fork, and no other fork is made", async () => {
    const { store, id, manager, conversation, conflicts, second } = await open_two(backend);
    second.conversation.turn("theirs");
    await second.manager.flush();
    for (const text of ["ours", "more", "most"]) {
      conversation.turn(text);
      await manager.flush();
      second.conversation.turn(`their ${text}`);
      await second.manager.flush();
    }
    await manager.save();
    expect(conflicts).toHaveLength(1);
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "ours", "more", "most"));
    expect(await history_of(store, id)).toEqual(said("one", "theirs", "their ours", "their more", "their most"));
    expect(await store.list()).toHaveLength(2);
  });

  test("rule 9.2: the save() under way resolves when the fork is stored, not before", async () => {
    const { store, id, manager, conversation, second } = await open_two(backend, { auto_save: false });
    second.conversation.turn("theirs");
    await second.manager.save();
    conversation.turn("ours");
    store.forget_calls();
    const held = store.hold_answer(["replace"], { nth: 1 });
    let resolved = false;
    const saved = manager.save({ custom: { mine: true } }).then(() => (resolved = true));
    await held.reached;
    await new Promise((resolve) => setImmediate(resolve));
    expect(resolved).toBe(false);
    held.release();
    await saved;
    const fork_id = manager.current_session_id!;
    expect(fork_id).not.toBe(id);
    expect((await record_of(store, fork_id)).metadata).toMatchObject({ custom: { mine: true } });
    expect(await history_of(store, fork_id)).toEqual(said("one", "ours"));
    expect(await metadata_of(store, id)).not.toHaveProperty("custom");
  });

  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 9.2: with messages of the engine, the fork begins after the last common message", async () => {
      const { store } = await open_with_turns(backend, []);
      const first = open_session(store, { provider_class });
      const conflicts = conflicts_of(first.manager);
      const id = first.manager.start_new();
      await ask(first.conversation, "one");
      await first.manager.flush();
      const second = open_session(store, { provider_class });
      await second.manager.load(id);
      await Promise.all([ask(first.conversation, "ours"), ask(second.conversation, "theirs")]);
      await Promise.all([first.manager.flush(), second.manager.flush()]);
      const current = [first.manager.current_session_id!, second.manager.current_session_id!];
      expect(current).toContain(id);
      const fork_id = current.find((other) => other !== id)!;
      expect(await metadata_of(store, fork_id)).toMatchObject({
        parent_id: id,
        fork_message_id: first.conversation.messages[1]?.id,
        fork_message_count: 2,
      });
      const again = open_session(store);
      for (const { manager, conversation } of [first, second]) {
        await again.manager.load(manager.current_session_id);
        expect(again.conversation.messages).toEqual(conversation.messages);
      }
      expect(conflicts.length).toBeLessThan(2);
    });
  });

  test("rule 9.2: a child spawned before the conflict was noticed names the fork", async () => {
    const { store, id, manager, conversation, second } = await open_two(backend);
    second.conversation.turn("theirs");
    await second.manager.flush();
    const held = store.hold("append");
    conversation.turn("ours");
    await held.reached;
    const child = conversation.spawn();
    child.turn("of the child");
    held.release();
    await manager.flush();
    const fork_id = manager.current_session_id!;
    expect(fork_id).not.toBe(id);
    const children = (await store.list()).filter(({ kind }) => kind === "child");
    expect(children).toHaveLength(1);
    expect(children[0]).toMatchObject({ parent_id: fork_id, detached: true, message_count: 2 });
  });

  test("rule 9: a checkpoint under way keeps its state with the session that goes on", async () => {
    const { store, id, manager, second } = await open_two(backend);
    const [asked, gate] = [deferred(), deferred()];
    const script = (request: ModelRequest): ScriptedStep => {
      const last = request.messages.at(-1)?.content.at(-1);
      if (last?.type !== "text" || !last.text.includes("Summarize")) {
        return {};
      }
      asked.resolve();
      return { text: "summary", gate: gate.promise };
    };
    const mine = open_session(store, { script });
    await mine.manager.load(id);
    await ask(mine.conversation, "ours");
    await mine.manager.flush();
    const done = mine.conversation.checkpoint();
    await asked.promise;
    await second.manager.load(id);
    second.conversation.turn("theirs");
    await second.manager.flush();
    await ask(mine.conversation, "while it runs");
    await mine.manager.save();
    const fork_id = mine.manager.current_session_id!;
    expect(fork_id).not.toBe(id);
    gate.resolve();
    const state = await done;
    await mine.manager.flush();
    expect(mine.conversation.checkpoint_state).toEqual(state);
    expect((await metadata_of(store, fork_id)).checkpoint_state).toEqual(state);
    expect(await metadata_of(store, id)).not.toHaveProperty("checkpoint_state");
    expect(manager.current_session_id).toBe(id);
  });

  test("rule 9.1: where theirs is the beginning of ours the rest is appended, without a conflict", async () => {
    const { store, id, manager, conversation, conflicts, second } = await open_two(backend);
    second.conversation.turn("both");
    await second.manager.flush();
    conversation.turn("both");
    conversation.turn("ours");
    await manager.flush();
    expect(conflicts).toEqual([]);
    expect(manager.current_session_id).toBe(id);
    expect(await history_of(store, id)).toEqual(said("one", "both", "ours"));
    expect(await store.list()).toHaveLength(1);
  });

  test("rule 9.1: where ours is the beginning of theirs nothing is written", async () => {
    const { store, id, manager, conversation, conflicts, second } = await open_two(backend, { auto_slug: false });
    second.conversation.turn("both");
    second.conversation.turn("theirs");
    await second.manager.flush();
    const before = await contents_of(store);
    conversation.turn("both");
    await manager.save();
    expect(conflicts).toEqual([]);
    expect(await contents_of(store)).toEqual(before);
    expect(manager.current_session_id).toBe(id);
    conversation.turn("ours");
    await manager.flush();
    expect(conflicts).toHaveLength(1);
    expect(await history_of(store, id)).toEqual(said("one", "both", "theirs"));
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "both", "ours"));
  });

  test("rule 9.2: with nothing in common ours is a whole copy", async () => {
    const { store, id, manager, conversation, conflicts } = await open_two(backend);
    await store.save(id, turns(1, "x"));
    conversation.turn("ours");
    await manager.flush();
    const fork_id = manager.current_session_id!;
    expect(conflicts).toMatchObject([{ id, fork_id }]);
    expect(await metadata_of(store, fork_id)).toMatchObject({ kind: "fork", detached: true, message_count: 4 });
    expect(await history_of(store, fork_id)).toEqual(said("one", "ours"));
    expect(await history_of(store, id)).toEqual(["question x1", "answer x1"]);
  });

  test("rule 9.3: a session that another writer deleted is stored under a new id", async () => {
    const { store, id, manager, conversation, conflicts } = await open_two(backend);
    await store.delete(id);
    conversation.turn("ours");
    await manager.flush();
    const fork_id = manager.current_session_id!;
    expect(fork_id).not.toBe(id);
    expect(conflicts).toMatchObject([{ id, fork_id, error: { code: "conflict" } }]);
    expect(await store.load(id)).toBeUndefined();
    expect(await history_of(store, fork_id)).toEqual(said("one", "ours"));
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, fork_id)).toEqual(said("one", "ours", "on"));
    expect(conflicts).toHaveLength(1);
  });

  test("rule 9.3: a fork that another writer deleted keeps what it inherits", async () => {
    const { store, id, manager, conversation } = await open_two(backend);
    const fork = await manager.fork(id);
    conversation.turn("in the fork");
    await manager.flush();
    await store.delete(fork);
    conversation.turn("ours");
    await manager.flush();
    expect(manager.current_session_id).not.toBe(fork);
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "in the fork", "ours"));
  });

  test("rule 9.2: a conflict inside a fork leaves the whole chain readable", async () => {
    const { store, id, manager, conversation, second } = await open_two(backend);
    const fork = await manager.fork(id);
    conversation.turn("in the fork");
    await manager.flush();
    await second.manager.load(fork);
    second.conversation.turn("theirs");
    await second.manager.flush();
    conversation.turn("ours");
    await manager.flush();
    const moved = manager.current_session_id!;
    expect(await metadata_of(store, moved)).toMatchObject({ parent_id: fork, fork_message_count: 4, message_count: 2 });
    expect(await history_of(store, moved)).toEqual(said("one", "in the fork", "ours"));
    expect(await history_of(store, fork)).toEqual(said("one", "in the fork", "theirs"));
  });

  test("rule 9.2: another writer's cut into what a fork inherits is a conflict that loses nothing", async () => {
    const { store, id, manager, conversation, conflicts, second } = await open_two(backend);
    const fork = await manager.fork(id);
    conversation.turn("in the fork");
    await manager.flush();
    await second.manager.load(fork);
    second.conversation.load(second.conversation.messages.slice(0, 1));
    second.conversation.turn("theirs");
    await second.manager.flush();
    conversation.turn("ours");
    await manager.flush();
    expect(conflicts).toHaveLength(1);
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "in the fork", "ours"));
    expect(await history_of(store, fork)).toEqual(["one", ...said("theirs")]);
    expect(await history_of(store, id)).toEqual(said("one"));
  });

  test.each(["changed", "deleted"])('rule 9.4: "error" reports a session %s and leaves both alone', async (what) => {
    const { store, id, manager, conversation, conflicts, errors, second } = await open_two(backend, {
      on_conflict: "error",
    });
    if (what === "deleted") {
      await store.delete(id);
    } else {
      second.conversation.turn("theirs");
      await second.manager.flush();
    }
    const before = await contents_of(store);
    conversation.turn("ours");
    const held = [...conversation.messages];
    await expect(manager.flush()).rejects.toMatchObject({ code: "conflict", session_id: id });
    await expect(manager.save()).rejects.toMatchObject({ code: "conflict", session_id: id });
    expect(errors).toMatchObject([{ operation: "save", error: { code: "conflict" } }]);
    expect(conflicts).toEqual([]);
    expect(await contents_of(store)).toEqual(before);
    expect([manager.current_session_id, conversation.messages]).toEqual([id, held]);
  });

  test.each(["fork", "error"] as const)(
    "rule 9.5: load() of a session that another writer has changed stores our unsaved turns beside it (%s)",
    async (on_conflict) => {
      const { store, id, manager, conversation, conflicts, second } = await open_two(backend, { on_conflict });
      second.conversation.turn("theirs");
      await second.manager.flush();
      store.fail_saves({ times: Infinity });
      conversation.turn("ours");
      await expect(manager.flush()).rejects.toThrow(on_conflict === "fork" ? "disk on fire" : "another writer");
      store.heal();
      await manager.load(id);
      expect(manager.current_session_id).toBe(id);
      expect(await history_of(store, id)).toEqual(said("one", "theirs"));
      expect(texts(conversation.messages)).toEqual(said("one", "theirs"));
      expect(conflicts).toMatchObject([{ id }]);
      expect(await history_of(store, conflicts[0]!.fork_id)).toEqual(said("one", "ours"));
    },
  );

  test("rule 9.2: a fork that could not be stored is tried again, and there is one", async () => {
    const { store, id, manager, conversation, conflicts, errors, second } = await open_two(backend);
    second.conversation.turn("theirs");
    await second.manager.flush();
    store.fail("replace");
    conversation.turn("ours");
    await manager.flush();
    expect(errors).toHaveLength(1);
    expect(conflicts).toHaveLength(1);
    expect(await store.list()).toHaveLength(2);
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "ours"));
    expect(await history_of(store, id)).toEqual(said("one", "theirs"));
  });

  test("rule 9.2: a fork that is stored though its writing was reported as failed is not stored twice", async () => {
    const { store, id, manager, conversation, conflicts, second } = await open_two(backend);
    second.conversation.turn("theirs");
    await second.manager.flush();
    store.lose_answer("replace");
    conversation.turn("ours");
    await manager.flush();
    expect(conflicts).toHaveLength(1);
    expect(await store.list()).toHaveLength(2);
    expect(await history_of(store, manager.current_session_id!)).toEqual(said("one", "ours"));
    expect(await history_of(store, id)).toEqual(said("one", "theirs"));
  });

  test("rule 9.2: usage and labels of ours go with the fork, and the other session keeps its own", async () => {
    const { store, id, manager, conversation, second } = await open_two(backend);
    second.conversation.turn("theirs", "t", { usage: { output_tokens: 5 } });
    await second.manager.flush();
    conversation.turn("ours", "o", { usage: { output_tokens: 7 } });
    await manager.flush();
    const fork = await metadata_of(store, manager.current_session_id!);
    expect(fork).toMatchObject({ label: "one (fork)", label_source: "auto", usage: { output_tokens: 7 } });
    expect(await metadata_of(store, id)).toMatchObject({ label: "one", usage: { output_tokens: 5 } });
  });
});

each_store((backend) => {
  test("rule 9.1: one writer alone never meets a conflict", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const conflicts = conflicts_of(manager);
    conversation.turn("two");
    await manager.rename(id, "renamed");
    conversation.turn("three");
    await manager.save();
    conversation.turn("four");
    await manager.flush();
    expect(conflicts).toEqual([]);
    expect(await history_of(store, id)).toEqual(said("one", "two", "three", "four"));
    expect(await store.list()).toHaveLength(1);
  });
});
