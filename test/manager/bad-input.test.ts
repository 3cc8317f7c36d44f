import { SessionError, type SaveMetadata, type SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_store, each_file_store, history_of, open_with_turns, said } from "../support/histories.js";
import { texts, turns } from "../support/messages.js";
import { contents_of, metadata_of, open_plain, open_recording } from "../support/open-session.js";

/** A path out of the store, no id at all, and a name that is another file's; the store's own tests have the others. */
const BAD_IDS = ["../x", "", "x.meta"];

type Call = (manager: SessionManager, bad: string, id: string) => Promise<unknown>;

/** Every method that takes an id, and what it says of one that no session can have. */
const CALLS: [string, Call, code: string][] = [
  ["load", (manager, bad) => manager.load(bad), "invalid_id"],
  ["fork", (manager, bad) => manager.fork(bad), "invalid_id"],
  ["detached fork", (manager, bad) => manager.fork(bad, { detached: true }), "invalid_id"],
  ["fork at a message", (manager, bad, id) => manager.fork(id, { message_id: bad }), "invalid_input"],
  ["rewind", (manager, bad) => manager.rewind(bad), "invalid_input"],
  ["rename", (manager, bad) => manager.rename(bad, "x"), "invalid_id"],
  ["delete", (manager, bad) => manager.delete(bad), "invalid_id"],
  ["save", (manager, bad) => manager.save({ parent_id: bad }), "invalid_id"],
  ["list", async (manager, bad) => expect(await manager.list({ parent_id: bad })).toEqual([]), "done"],
];

async function code_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    return error instanceof SessionError ? error.code : String(error);
  }
}

const LINEAGES: [string, SaveMetadata][] = [
  ["a parent", { parent_id: "p" }],
  ["a parent and a message of it", { parent_id: "p", fork_message_id: "pa1" }],
  ["a parent for provenance", { parent_id: "p", detached: true }],
  ["itself as its parent", { parent_id: "own" }],
];

each_file_store((backend) => {
  describe.each(BAD_IDS)("the id %j", (bad) => {
    test.each(CALLS)("rule 25: %s refuses it, and nothing changes", async (_name, call, code) => {
      const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
      const before = await contents_of(store);
      expect(await code_of(call(manager, bad, id))).toBe(code);
      expect(await contents_of(store)).toEqual(before);
      expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, said("one")]);
      conversation.turn("two");
      await manager.flush();
      expect(await history_of(store, id)).toEqual(said("one", "two"));
    });
  });

  test("rule 25: metadata that the store refuses are not tried again by flush()", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"], { auto_save: false });
    conversation.turn("two");
    expect(await code_of(manager.save({ parent_id: "../x" }))).toBe("invalid_id");
    expect(await code_of(manager.flush())).toBe("done");
    expect(await history_of(store, id)).toEqual(said("one", "two"));
  });

  test("rule 25: metadata that the store refuses cost a session nothing that it had", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const fork = await manager.fork(id);
    const before = await metadata_of(store, fork);
    expect(await code_of(manager.save({ parent_id: "../x", label: "mine" }))).toBe("invalid_id");
    conversation.turn("in the fork");
    await manager.flush();
    expect(await metadata_of(store, fork)).toMatchObject({ label: before.label, parent_id: id });
    expect(await history_of(store, fork)).toEqual(said("one", "in the fork"));
  });
});

each_file_store((backend) => {
  test("rule 25: a label that was refused counts no more, and the one before it does", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"], { auto_slug: false });
    await manager.save({ label: "before" });
    expect(await code_of(manager.save({ parent_id: "../x", label: "refused" }))).toBe("invalid_id");
    const other = open_plain(store);
    await other.manager.load(id);
    other.conversation.turn("theirs");
    await other.manager.flush();
    conversation.turn("ours");
    await manager.flush();
    expect((await metadata_of(store, manager.current_session_id!)).label).toBe("before (fork)");
  });

  test("rule 13: a label that was refused does not stand in the way of the automatic one", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, []);
    expect(await code_of(manager.save({ parent_id: "../x", label: "refused" }))).toBe("invalid_id");
    conversation.turn("one");
    await manager.flush();
    expect((await metadata_of(store, id)).label).toBe("one");
  });
});

each_store((backend) => {
  test("rule 25: missing sessions and unknown messages are refused, and nothing changes", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const before = await contents_of(store);
    for (const [call, code] of [
      [() => manager.load("missing"), "not_found"],
      [() => manager.fork("missing"), "not_found"],
      [() => manager.fork("missing", { detached: true }), "not_found"],
      [() => manager.rename("missing", "x"), "not_found"],
      [() => manager.fork(id, { message_id: "missing" }), "invalid_input"],
      [() => manager.fork(id, { message_id: "missing", detached: true }), "invalid_input"],
      [() => manager.rewind("missing"), "invalid_input"],
    ] as const) {
      expect(await code_of(call())).toBe(code);
    }
    expect(await manager.delete("missing")).toBe(false);
    expect(await contents_of(store)).toEqual(before);
    expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, said("one")]);
  });

  test("rule 20: values that are undefined wipe nothing", async () => {
    const { store, id, manager } = await open_with_turns(backend, ["one"]);
    await manager.save({ label: "mine", provider: "p", model: "m", custom: { a: 1 } });
    const { updated_at: _before, ...before } = await metadata_of(store, id);
    const nothing = { label: undefined, provider: undefined, parent_id: undefined, custom: undefined };
    await manager.save(nothing as unknown as SaveMetadata);
    const { updated_at: _after, ...after } = await metadata_of(store, id);
    expect(after).toEqual(before);
  });

  describe.each([
    ["that begins like it", turns(1, "p")],
    ["that has nothing of it", []],
  ])("a conversation %s", (_what, begun) => {
    test.each(LINEAGES)(
      "rule 1.2: save() that names %s stores what the conversation holds, once",
      async (_name, given) => {
        const store = await open_recording(backend);
        await store.save("p", turns(1, "p"), { kind: "root" });
        const { manager, conversation } = open_plain(store);
        const id = manager.start_new();
        conversation.load(begun);
        conversation.turn("mine");
        const own = given.parent_id === "own" ? { parent_id: id } : given;
        const outcome = await code_of(manager.save(own));
        expect(["done", "lineage", "invalid_input"]).toContain(outcome);
        await manager.save();
        await manager.save();
        expect(await history_of(store, id)).toEqual(texts(conversation.messages));
        expect((await store.list()).map((entry) => entry.id).sort()).toEqual([id, "p"].sort());
      },
    );
  });

  test("rule 1.2: save() that detaches a fork stores what the conversation holds", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, ["one"]);
    const fork = await manager.fork(id);
    conversation.turn("two");
    await manager.save({ detached: true });
    expect(await history_of(store, fork)).toEqual(said("one", "two"));
    await manager.save();
    expect((await store.list()).map((entry) => entry.id).sort()).toEqual([id, fork].sort());
  });
});
