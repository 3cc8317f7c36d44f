import { readdir } from "node:fs/promises";
import { deferred } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { each_backend, keeps_files, type Backend } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { ids, turns } from "../support/messages.js";
import {
  contents_of,
  open_backend,
  open_recording,
  open_session,
  record_of,
  type OpenOptions,
} from "../support/open-session.js";
import { RecordingStore } from "../support/recording-store.js";

const INVALID_STATE = {
  name: "SessionError",
  code: "invalid_state",
  message: expect.stringMatching(/^invalid state/) as string,
};

/** A session with a turn, another one in the store, and a conversation whose next turn waits at a gate. */
async function prepare(backend: Backend, options: OpenOptions) {
  const { store: inner, directory = "" } = await open_backend(backend);
  const store = new RecordingStore(inner);
  await store.save("other", turns(2, "o"), { kind: "root", label: "other" });
  const gate = deferred();
  const script = [{}, { gate: gate.promise }];
  const opened = open_session(store, { script, ...options });
  const { manager, conversation } = opened;
  const id = manager.start_new("mine");
  await ask(conversation, "first");
  await manager.flush();
  const begin_turn = async () => {
    const sent = new Promise<void>((resolve) => conversation.once("message_start", () => resolve()));
    const reply = ask(conversation, "second");
    await sent;
    return { reply, busy_with: conversation.messages };
  };
  return { store, directory, gate, id, begin_turn, ...opened };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

const CHANGES: [string, (prepared: Prepared) => Promise<unknown>, "load" | "replace" | "delete"][] = [
  ["load(id)", ({ manager }) => manager.load("other"), "load"],
  ["load()", ({ manager }) => manager.load(), "load"],
  ["an attached fork", ({ manager }) => manager.fork("other"), "load"],
  ["delete of the current session", ({ manager, id }) => manager.delete(id), "load"],
  ["an attached fork, while its record is written", ({ manager }) => manager.fork("other"), "replace"],
  ["delete of the current session, while it is deleted", ({ manager, id }) => manager.delete(id), "delete"],
];

async function expect_nothing_changed(prepared: Prepared, before: Map<string, unknown>, messages: readonly unknown[]) {
  const { manager, conversation, store, id, gate } = prepared;
  expect(manager.current_session_id).toBe(id);
  expect(conversation.messages).toEqual(messages);
  expect(await contents_of(store)).toEqual(before);
  gate.resolve();
  await new Promise<void>((resolve) => conversation.once("message_complete", () => resolve()));
  await manager.flush();
  expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  expect(conversation.messages).toHaveLength(4);
}

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test.each(CHANGES.slice(0, 4))("rule 3.1: %s is refused while a turn is in flight", async (_what, change) => {
      const prepared = await prepare(backend, { provider_class });
      const before = await contents_of(prepared.store);
      const { busy_with } = await prepared.begin_turn();
      prepared.store.forget_calls();
      await expect(change(prepared)).rejects.toMatchObject(INVALID_STATE);
      expect(prepared.store.writes()).toEqual([]);
      await expect_nothing_changed(prepared, before, busy_with);
    });

    test.each(CHANGES)("rule 3.3: %s is undone where a turn begins meanwhile", async (_what, change, at) => {
      const prepared = await prepare(backend, { provider_class });
      const before = await contents_of(prepared.store);
      prepared.store.forget_calls();
      const held = prepared.store.hold_answer(at === "replace" ? ["replace", "save"] : at);
      const changed = change(prepared);
      const outcome = expect(changed).rejects.toMatchObject(INVALID_STATE);
      await held.reached;
      const { busy_with } = await prepared.begin_turn();
      held.release();
      await outcome;
      if (at === "load") {
        expect(prepared.store.writes()).toEqual([]);
      }
      await expect_nothing_changed(prepared, before, busy_with);
    });

    test("rule 3.1: start_new() with messages is refused while a turn is in flight", async () => {
      const prepared = await prepare(backend, { provider_class });
      const before = await contents_of(prepared.store);
      const { busy_with } = await prepared.begin_turn();
      expect(() => prepared.manager.start_new("late")).toThrow("invalid state");
      await prepared.manager.flush();
      await expect_nothing_changed(prepared, before, busy_with);
    });

    test("rule 3.2: start_new() is refused while the first turn is in flight", async () => {
      const store = await open_recording(backend);
      const gate = deferred();
      const { manager, conversation } = open_session(store, { provider_class, script: [{ gate: gate.promise }] });
      const reply = ask(conversation);
      await new Promise<void>((resolve) => conversation.once("message_start", () => resolve()));
      expect(() => manager.start_new()).toThrow(expect.objectContaining(INVALID_STATE) as Error);
      gate.resolve();
      await reply;
      const id = manager.start_new();
      await manager.flush();
      expect([(await record_of(store, id)).messages, conversation.messages]).toEqual([[], []]);
    });

    test("rule 3.7: everything else works while a turn is in flight", async () => {
      const prepared = await prepare(backend, { provider_class });
      const { manager, conversation, store, id, gate } = prepared;
      const { reply } = await prepared.begin_turn();
      await manager.save({ provider: "p" });
      await manager.rename(id, "renamed");
      await manager.rename("other", "renamed, too");
      expect(ids(await manager.list({ kinds: ["root"] }))?.sort()).toEqual([id, "other"].sort());
      const fork = await manager.fork("other", { detached: true });
      expect(manager.current_session_id).toBe(fork);
      expect(await manager.delete("other")).toBe(true);
      await manager.flush();
      gate.resolve();
      await reply;
      await manager.flush();
      expect((await record_of(store, id)).metadata).toMatchObject({ label: "renamed", provider: "p" });
      expect((await record_of(store, fork)).messages).toEqual(conversation.messages);
      expect(conversation.messages).toHaveLength(4);
    });
  });

  test("rule 3.5: a load that fails changes nothing", async () => {
    const prepared = await prepare(backend, {});
    const { manager, conversation, store, id, loads } = prepared;
    const [before, held] = [await contents_of(store), conversation.messages];
    store.fail("load", {}, new Error("no connection"));
    await expect(manager.load("other")).rejects.toThrow("no connection");
    store.fail("list", {}, new Error("no connection"));
    await expect(manager.load()).rejects.toThrow("no connection");
    expect([manager.current_session_id, conversation.messages, loads]).toEqual([id, held, []]);
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 3.5: a fork that cannot be stored changes nothing, and is not tried again", async () => {
    const prepared = await prepare(backend, {});
    const { manager, conversation, store, id } = prepared;
    const [before, held] = [await contents_of(store), conversation.messages];
    store.fail_saves();
    await expect(manager.fork("other")).rejects.toThrow("disk on fire");
    store.fail_saves();
    await expect(manager.fork("other", { detached: true })).rejects.toThrow("disk on fire");
    await manager.flush();
    expect([manager.current_session_id, conversation.messages]).toEqual([id, held]);
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 3.5: a fork whose record is stored though its writing was reported as failed leaves none behind", async () => {
    const { manager, store } = await prepare(backend, {});
    const before = await contents_of(store);
    store.lose_answer(["replace", "save"]);
    await expect(manager.fork("other")).rejects.toThrow("connection lost");
    await manager.flush();
    expect(await contents_of(store)).toEqual(before);
  });

  test("rule 3.5: a delete that fails changes nothing", async () => {
    const { manager, conversation, store, id, gate } = await prepare(backend, {});
    const [before, held] = [await contents_of(store), conversation.messages];
    store.fail("delete");
    await expect(manager.delete(id)).rejects.toThrow("disk on fire");
    expect([manager.current_session_id, conversation.messages]).toEqual([id, held]);
    expect(await contents_of(store)).toEqual(before);
    gate.resolve();
    await ask(conversation, "still here");
    await manager.flush();
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 3.7: a turn that completes while a detached fork is written is in the fork", async () => {
    const { manager, conversation, store, gate, begin_turn } = await prepare(backend, {});
    const held = store.hold_answer(["replace", "save"]);
    const { reply } = await begin_turn();
    const forked = manager.fork("other", { detached: true });
    await held.reached;
    gate.resolve();
    await reply;
    await round();
    held.release();
    const fork = await forked;
    await manager.flush();
    expect((await record_of(store, fork)).messages).toEqual(conversation.messages);
  });
});

each_backend((backend) => {
  test("rule 3.5: a fork that is undone leaves no file behind", async () => {
    const prepared = await prepare(backend, {});
    const { manager, store, directory } = prepared;
    const files = async () => (await readdir(directory, { recursive: true })).sort();
    const before = await files();
    const held = store.hold_answer("replace");
    const outcome = expect(manager.fork("other")).rejects.toMatchObject(INVALID_STATE);
    await held.reached;
    const { reply } = await prepared.begin_turn();
    held.release();
    await outcome;
    expect(await files()).toEqual(before);
    prepared.gate.resolve();
    await reply;
  });
}, keeps_files);
