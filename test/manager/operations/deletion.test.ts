import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { histories_of } from "../../support/faulty-store.js";
import { turns } from "../../support/messages.js";
import {
  contents_of,
  metadata_of,
  open_backend,
  open_plain,
  open_recording,
  record_of,
} from "../../support/open-session.js";
import {
  each_file_store,
  each_store,
  each_watchful_store,
  fork_after,
  history_of,
  open_with_turns,
  others_than,
  said,
} from "../../support/histories.js";

each_store((backend) => {
  test("rule 11: forks keep what they inherit, nested ones too", async () => {
    const { store, id } = await open_with_turns(backend, ["one", "two"]);
    const early = await fork_after(store, id, 2, "early");
    const late = await fork_after(store, id, 4, "late");
    const nested = await fork_after(store, late, 5, "nested");
    const before = await metadata_of(store, late);
    const other = open_plain(store);
    expect(await other.manager.delete(id)).toBe(true);
    expect(await store.load(id)).toBeUndefined();
    expect(await metadata_of(store, late)).toMatchObject({ kind: "fork", parent_id: id, detached: true });
    expect((await metadata_of(store, late)).updated_at).toBe(before.updated_at);
    expect(await metadata_of(store, nested)).toMatchObject({ parent_id: late, message_count: 2 });
    expect((await metadata_of(store, nested)).detached).toBeUndefined();
    expect(await history_of(store, early)).toEqual(said("one", "early"));
    expect(await history_of(store, late)).toEqual(said("one", "two", "late"));
    expect(await history_of(store, nested)).toEqual([...said("one", "two"), "late", ...said("nested")]);
    expect(other.errors).toEqual([]);
  });

  test("rule 11: a chain deleted from its root down loses nothing at its end", async () => {
    const { store, id } = await open_with_turns(backend, ["one"]);
    const middle = await fork_after(store, id, 2, "middle");
    const last = await fork_after(store, middle, 4, "last");
    const { manager } = open_plain(store);
    await manager.delete(middle);
    await manager.delete(id);
    expect(await others_than(store, last)).toEqual([]);
    expect(await history_of(store, last)).toEqual(said("one", "middle", "last"));
  });

  test('rule 11: "refuse" rejects where there are forks, and changes nothing', async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const fork = await fork_after(store, id, 2, "late");
    const before = await contents_of(store);
    await expect(manager.delete(id, { forks: "refuse" })).rejects.toMatchObject({
      name: "SessionError",
      code: "invalid_state",
      session_id: id,
    });
    expect(await contents_of(store)).toEqual(before);
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
    expect(await manager.delete(fork, { forks: "refuse" })).toBe(true);
    expect(await manager.delete(id, { forks: "refuse" })).toBe(true);
    expect(await store.list()).toEqual([]);
  });

  test('rule 11: "refuse" is not about children, which inherit nothing', async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    conversation.spawn().turn("of the child");
    await manager.flush();
    expect(await manager.delete(id, { forks: "refuse" })).toBe(true);
    expect(await others_than(store)).toHaveLength(1);
  });

  test('rule 11: "cascade" deletes children and forks, and leaves the rest', async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    conversation.spawn().turn("of the child");
    const fork = await fork_after(store, id, 2, "late");
    await fork_after(store, fork, 3, "nested");
    await store.save("other", turns(1), { kind: "root" });
    await manager.flush();
    expect(await store.list()).toHaveLength(5);
    expect(await manager.delete(id, { forks: "cascade" })).toBe(true);
    expect((await store.list()).map((entry) => entry.id)).toEqual(["other"]);
    expect([manager.current_session_id, manager.is_loaded, conversation.messages]).toEqual([undefined, false, []]);
  });

  describe.each(["keep", "cascade"] as const)('with "%s"', (forks) => {
    test("rule 11: a cycle of parents is visited once", async () => {
      const store = await open_recording(backend);
      await store.save("a", turns(1, "a"), { kind: "fork", parent_id: "c" });
      await store.save("b", turns(1, "b"), { kind: "fork", parent_id: "a" });
      await store.save("c", turns(1, "c"), { kind: "fork", parent_id: "b" });
      const { manager } = open_plain(store);
      expect(await manager.delete("a", { forks })).toBe(true);
      const left = (await store.list()).map(({ id }) => id).sort();
      expect(left).toEqual(forks === "keep" ? ["b", "c"] : []);
      if (forks === "keep") {
        const own = (await record_of(store, "b")).messages.map(({ id }) => id);
        expect(own.slice(-4)).toEqual(["au1", "aa1", "bu1", "ba1"]);
        expect(await history_of(store, "b")).toBeDefined();
        expect((await history_of(store, "c"))?.slice(-2)).toEqual(["question c1", "answer c1"]);
      }
    });

    test("rule 11: a session that is its own parent can be deleted", async () => {
      const store = await open_recording(backend);
      await store.save("a", turns(1), { kind: "fork", parent_id: "a" });
      const { manager } = open_plain(store);
      expect(await manager.delete("a", { forks })).toBe(true);
      expect(await store.list()).toEqual([]);
    });
  });

  test("rule 11: where the current session is a fork of the deleted one, it goes on whole", async () => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one"]);
    const fork = await manager.fork(id);
    conversation.turn("in the fork");
    await manager.delete(id);
    expect([manager.current_session_id, conversation.messages.length]).toEqual([fork, 4]);
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, fork)).toEqual(said("one", "in the fork", "on"));
    expect((await record_of(store, fork)).messages).toHaveLength(6);
    conversation.clear();
    conversation.turn("new");
    await manager.save();
    expect(await history_of(store, fork)).toEqual(said("new"));
    const [kept = ""] = await others_than(store, fork);
    expect(await history_of(store, kept)).toEqual(said("one", "in the fork", "on"));
    expect(await store.list()).toHaveLength(2);
    expect(errors).toEqual([]);
  });

  test("rule 11: a turn and a save() behind the deletion of the parent are saved into the whole fork", async () => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one"]);
    const fork = await manager.fork(id);
    const deleted = manager.delete(id);
    conversation.turn("on");
    const saved = manager.save();
    await Promise.all([deleted, saved]);
    expect([...(await histories_of(store)).entries()]).toEqual([[fork, said("one", "on")]]);
    expect(errors).toEqual([]);
  });

  test("rule 11: a turn that ends while the parent is deleted is saved into the whole fork", async () => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one"]);
    const fork = await manager.fork(id);
    const held = store.hold("delete");
    const deleted = manager.delete(id);
    await held.reached;
    conversation.turn("meanwhile");
    held.release();
    await deleted;
    await manager.flush();
    expect(await history_of(store, fork)).toEqual(said("one", "meanwhile"));
    expect((await record_of(store, fork)).messages).toHaveLength(4);
    expect(errors).toEqual([]);
  });

  test("rule 11: deleting the current session clears the conversation and unsets the id", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    expect(await manager.delete(id)).toBe(true);
    expect([manager.current_session_id, manager.is_loaded, conversation.messages]).toEqual([undefined, false, []]);
    conversation.turn("unheard");
    await manager.flush();
    expect(await store.list()).toEqual([]);
    await expect(manager.save()).rejects.toThrow("no active session");
    expect(await manager.delete(id)).toBe(false);
  });

  test("rule 11: deleting while a save is under way leaves the session deleted", async () => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one"]);
    const held = store.hold_save();
    conversation.turn("two");
    await held.reached;
    conversation.turn("three");
    const deleted = manager.delete(id);
    held.release();
    expect(await deleted).toBe(true);
    await manager.flush();
    expect(await store.list()).toEqual([]);
    expect(errors).toEqual([]);
  });

  test("rules 1.6 and 11: a save() asked for behind the deletion rejects, and writes nothing", async () => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    const held = store.hold("delete");
    const deleted = manager.delete(id);
    await held.reached;
    const saved = manager.save().catch((error: Error) => error.message);
    held.release();
    await deleted;
    expect(await saved).toBe(`session not found: ${id}`);
    await manager.flush();
    expect(await store.list()).toEqual([]);
  });

  test("rule 11: a save that failed is not tried again once its session is deleted", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    store.fail_saves();
    conversation.turn("two");
    await manager.delete(id);
    await manager.flush();
    expect(await store.list()).toEqual([]);
  });

  test("rule 11: a child's session deleted while the child saves stays deleted", async () => {
    const { store, id, manager, conversation, errors } = await open_with_turns(backend, ["one"]);
    const child = conversation.spawn();
    await manager.flush();
    const [child_id = ""] = await others_than(store, id);
    const held = store.hold_save({ id: child_id });
    child.turn("of the child");
    await held.reached;
    const deleted = manager.delete(child_id);
    child.turn("later");
    held.release();
    expect(await deleted).toBe(true);
    child.turn("later still");
    await manager.flush();
    expect((await store.list()).map((entry) => entry.id)).toEqual([id]);
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
    expect(errors).toMatchObject([
      { operation: "save", error: { code: "invalid_state" }, context: { session_id: child_id } },
    ]);
  });

  test("rule 11: a deletion waits for a child's save of that session", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const child = conversation.spawn();
    await manager.flush();
    const [child_id = ""] = await others_than(store, id);
    const held = store.hold_save({ id: child_id });
    child.turn("of the child");
    await held.reached;
    const deleted = manager.delete(child_id);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(store.of("delete")).toEqual([]);
    held.release();
    expect(await deleted).toBe(true);
    await manager.flush();
    expect(await others_than(store, id)).toEqual([]);
  });

  test.each(["keeps", "", null, 1])("rule 11: forks: %j is invalid_input, and nothing is deleted", async (forks) => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    const before = await contents_of(store);
    await expect(manager.delete(id, { forks } as never)).rejects.toMatchObject({
      name: "SessionError",
      code: "invalid_input",
    });
    expect(await contents_of(store)).toEqual(before);
    expect(manager.current_session_id).toBe(id);
  });

  test("rule 11: where a fork cannot be written the session is not deleted, and a retry does it", async () => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    const fork = await fork_after(store, id, 2, "late");
    const second = await fork_after(store, id, 2, "second");
    store.fail_saves({ nth: 2 });
    await expect(manager.delete(id)).rejects.toThrow("disk on fire");
    expect(manager.current_session_id).toBe(id);
    store.heal();
    for (const [of, text] of [
      [fork, "late"],
      [second, "second"],
    ] as const) {
      expect(await history_of(store, of)).toEqual(said("one", text));
    }
    expect(await manager.delete(id)).toBe(true);
    expect(await history_of(store, fork)).toEqual(said("one", "late"));
    expect(await history_of(store, second)).toEqual(said("one", "second"));
  });

  test("rule 11: a session goes on being saved after its deletion failed", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    store.fail("delete");
    await expect(manager.delete(id)).rejects.toThrow("disk on fire");
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
    expect(await store.list()).toHaveLength(1);
  });
});

each_watchful_store((backend) => {
  test("rule 11: another manager that holds a fork goes on whole where its parent is deleted", async () => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    const fork = await fork_after(store, id, 2, "late");
    const other = open_plain(store);
    await other.manager.load(fork);
    await manager.delete(id);
    other.conversation.turn("on");
    await other.manager.flush();
    expect(other.manager.current_session_id).toBe(fork);
    expect(await history_of(store, fork)).toEqual(said("one", "late", "on"));
    expect(await store.list()).toHaveLength(1);
    expect(other.errors).toEqual([]);
  });
});

each_file_store((backend, extension) => {
  test("rule 11: where a fork is damaged nothing is deleted, unless with all forks", async () => {
    const { store, directory = "" } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.save();
    const fork = await fork_after(store, id, 2, "late");
    const path = join(directory, `${fork}${extension}`);
    const whole = await readFile(path, "utf8");
    await writeFile(path, `${whole.slice(0, whole.indexOf('"late"') + 3)}\n`);
    await expect(manager.delete(id)).rejects.toMatchObject({ code: "corrupt" });
    expect(await history_of(store, id)).toEqual(said("one"));
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
    await writeFile(path, whole);
    expect(await history_of(store, fork)).toEqual(said("one", "late"));
    await writeFile(path, "{ damaged");
    expect(await manager.delete(id, { forks: "cascade" })).toBe(true);
    expect(await store.load(id)).toBeUndefined();
  });

  test("rule 11: a damaged session can be deleted", async () => {
    const { store, directory = "" } = await open_backend(backend);
    await store.save("damaged", turns(1));
    await writeFile(join(directory, `damaged${extension}`), "{ damaged");
    const { manager } = open_plain(store);
    await expect(store.load("damaged")).rejects.toMatchObject({ code: "corrupt" });
    expect(await manager.delete("damaged")).toBe(true);
    expect(await store.list()).toEqual([]);
  });
});
