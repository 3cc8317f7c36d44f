import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SessionMetadata, SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { each_backend, keeps_files } from "../../backends.js";
import { ids, texts, turns } from "../../support/messages.js";
import { contents_of, open_backend, open_plain, open_recording, open_session } from "../../support/open-session.js";

/** A session of so many minutes past noon. */
async function stored(store: SessionStore, id: string, minute: number, metadata: Partial<SessionMetadata> = {}) {
  const date = new Date(Date.UTC(2025, 0, 1, 12, minute)).toISOString();
  await store.save(id, turns(1, `${id} `), { created_at: date, updated_at: date, ...metadata });
}

each_backend((backend) => {
  test("rule 7: load(id) puts the session into the conversation and goes on in it", async () => {
    const store = await open_recording(backend);
    await stored(store, "a", 1, { label: "mine", label_source: "user" });
    const { manager, conversation, loads } = open_session(store);
    await manager.load("a");
    expect(conversation.messages).toEqual(turns(1, "a "));
    expect([manager.current_session_id, manager.is_loaded]).toEqual(["a", true]);
    expect(loads).toEqual([{ id: "a", messages: turns(1, "a ") }]);
    expect(store.writes()).toHaveLength(1);
  });

  test("rule 7.1: load() takes the newest root or fork, not the children and checkpoints that are newer", async () => {
    const store = await open_recording(backend);
    await stored(store, "root", 1, { kind: "root" });
    await stored(store, "fork", 3, { kind: "fork", parent_id: "root", detached: true });
    await stored(store, "older", 2, { kind: "root" });
    await stored(store, "child", 8, { kind: "child", parent_id: "fork", detached: true });
    await stored(store, "checkpoint", 9, {
      kind: "checkpoint",
      is_checkpoint: true,
      parent_id: "fork",
      detached: true,
    });
    const { manager } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("fork");
  });

  test("rule 7.1: load() knows the kinds of sessions that an older version stored", async () => {
    const store = await open_recording(backend);
    await stored(store, "root", 1);
    await stored(store, "fork", 2, { parent_id: "root" });
    await stored(store, "child", 3, { parent_id: "fork", detached: true });
    await stored(store, "checkpoint", 4, { is_checkpoint: true });
    const { manager } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("fork");
  });

  test("rule 7.1: load() takes a child where there is nothing else", async () => {
    const store = await open_recording(backend);
    await stored(store, "child", 1, { kind: "child", parent_id: "gone", detached: true });
    await stored(store, "checkpoint", 2, {
      kind: "checkpoint",
      is_checkpoint: true,
      parent_id: "gone",
      detached: true,
    });
    const { manager, errors } = open_session(store);
    await manager.load();
    expect([manager.current_session_id, errors]).toEqual(["checkpoint", []]);
  });

  test("rule 7.1: of two that are equally new, load() takes the one with the lower id", async () => {
    const store = await open_recording(backend);
    await stored(store, "b", 1);
    await stored(store, "a", 1);
    await stored(store, "B", 1);
    const { manager } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("B");
  });

  test("rule 7.1: load() begins a new session where there is none", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, loads } = open_session(store);
    await manager.load();
    await manager.flush();
    expect(manager.is_loaded).toBe(true);
    expect([...(await contents_of(store)).keys()]).toEqual([manager.current_session_id]);
    expect([conversation.messages, loads]).toEqual([[], []]);
  });

  test("rule 7: load() passes over a session that vanished meanwhile", async () => {
    const store = await open_recording(backend);
    await stored(store, "older", 1);
    await stored(store, "newer", 2);
    store.intercept("load", async () => undefined, { id: "newer" });
    const { manager, errors } = open_session(store);
    await manager.load();
    expect([manager.current_session_id, errors]).toEqual(["older", []]);
  });

  test("rule 7.2: load() reports a session of which the parents form a cycle, and goes on", async () => {
    const store = await open_recording(backend);
    await stored(store, "sound", 1);
    await stored(store, "one", 2, { parent_id: "two" });
    await stored(store, "two", 3, { parent_id: "one" });
    store.fail("load", { nth: 20, times: Infinity }, new Error("read without end"));
    const { manager, errors } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("sound");
    expect(errors).toMatchObject([
      { operation: "load", error: { code: "lineage" }, context: { session_id: "two" } },
      { operation: "load", error: { code: "lineage" }, context: { session_id: "one" } },
    ]);
  });

  test("rule 7.2: load() does not take a store that fails for one with damaged sessions", async () => {
    const store = await open_recording(backend);
    await stored(store, "older", 1);
    await stored(store, "newer", 2);
    store.fail("load", { id: "newer" });
    const { manager, errors } = open_session(store);
    await expect(manager.load()).rejects.toThrow("disk on fire");
    expect([manager.current_session_id, errors]).toEqual([undefined, []]);
  });

  test("rule 7.4: load(id) of a missing session is not_found, and nothing changes", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, loads } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await expect(manager.load("missing")).rejects.toMatchObject({
      name: "SessionError",
      code: "not_found",
      message: "session not found: missing",
      session_id: "missing",
    });
    expect([manager.current_session_id, conversation.messages.length, loads]).toEqual([id, 2, []]);
  });

  test("rule 21: list(query) filters and pages, whatever the store does with a query", async () => {
    const store = await open_recording(backend);
    await stored(store, "c", 1);
    await stored(store, "a", 2);
    await stored(store, "b", 2);
    await stored(store, "d", 3, { parent_id: "a" });
    const { manager } = open_session(store);
    const first = await manager.list({ limit: 2 });
    expect(ids(first)).toEqual(["d", "a"]);
    expect(ids(await manager.list({ limit: 2, before: first[1]! }))).toEqual(["b", "c"]);
    expect(ids(await manager.list({ kinds: ["fork"] }))).toEqual(["d"]);
    expect(ids(await manager.list({ parent_id: "a" }))).toEqual(["d"]);
    expect(ids(await manager.list({ limit: 0 }))).toEqual([]);
    expect(ids(await manager.list())).toEqual(ids(await store.list()));
  });
});

each_backend((backend) => {
  test("rule 7.2: load() reports a damaged session and takes the next one", async () => {
    const { store, directory = "" } = await open_backend(backend);
    await stored(store, "sound", 1, { kind: "root" });
    await stored(store, "torn", 2, { kind: "root" });
    await writeFile(join(directory, "torn.json"), '{"metadata": {"id": "torn", "kind": "ro');
    const { manager, conversation, errors } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("sound");
    expect(texts(conversation.messages)).toEqual(["question sound 1", "answer sound 1"]);
    expect(errors).toMatchObject([{ operation: "load", error: { code: "corrupt" }, context: { session_id: "torn" } }]);
    await expect(manager.load("torn")).rejects.toMatchObject({ code: "corrupt", session_id: "torn" });
    expect(manager.current_session_id).toBe("sound");
  });

  test("rule 7.2: load() reports a fork of which the parent is damaged, and takes the next one", async () => {
    const { store, directory = "" } = await open_backend(backend);
    await stored(store, "sound", 1, { kind: "root" });
    await stored(store, "torn", 2, { kind: "root" });
    await stored(store, "fork", 3, { kind: "fork", parent_id: "torn" });
    await writeFile(join(directory, "torn.json"), "\0\0\0\0");
    const { manager, errors } = open_session(store);
    await manager.load();
    expect(manager.current_session_id).toBe("sound");
    expect(errors.map(({ context }) => context?.["session_id"]).sort()).toEqual(["fork", "torn"]);
    expect(errors.every(({ error }) => (error as { code?: string }).code === "corrupt")).toBe(true);
  });

  test("rule 7.3: load() is corrupt where every session is damaged, and leaves them as they are", async () => {
    const { store, directory = "" } = await open_backend(backend);
    await stored(store, "torn", 2);
    await writeFile(join(directory, "torn.json"), "{");
    const { manager, errors } = open_session(store);
    await expect(manager.load()).rejects.toMatchObject({ code: "corrupt", session_id: "torn" });
    await manager.flush();
    expect([manager.current_session_id, errors]).toEqual([undefined, []]);
    expect((await store.list()).map(({ id }) => id)).toEqual(["torn"]);
    await expect(store.load("torn")).rejects.toMatchObject({ code: "corrupt" });
  });
}, keeps_files);
