import { deferred, type Deferred, type ModelRequest, type ScriptedStep } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { each_backend, type Backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { ids, turns } from "../support/messages.js";
import { metadata_of, open_plain, open_recording, open_session, type OpenOptions } from "../support/open-session.js";

/** A conversation whose summaries wait for their gates, and whose answers, all different, do not. */
async function open_with_summaries(backend: Backend, options: OpenOptions = {}) {
  const store = await open_recording(backend);
  let asked = deferred<Deferred>();
  let count = 0;
  const script = (request: ModelRequest): ScriptedStep => {
    count += 1;
    const last = request.messages.at(-1)?.content.at(-1);
    if (last?.type !== "text" || !last.text.includes("Summarize")) {
      return { text: `answer ${count}` };
    }
    const gate = deferred();
    asked.resolve(gate);
    return { text: `summary ${count}`, gate: gate.promise };
  };
  const opened = open_session(store, { script, ...options });
  /** Begins a checkpoint; it ends when its gate opens. */
  const begin_checkpoint = async () => {
    const done = opened.conversation.checkpoint();
    const ended = done.then(() => Promise.reject(new Error("the checkpoint ended before its summary was asked for")));
    const gate = await Promise.race([asked.promise, ended]);
    asked = deferred();
    return { done, gate };
  };
  return { store, begin_checkpoint, ...opened };
}

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 6: a finished checkpoint is saved at once", async () => {
      const opened = await open_with_summaries(backend, { provider_class });
      const { manager, conversation, store, errors } = opened;
      const id = manager.start_new();
      await ask(conversation, "one");
      const { done, gate } = await opened.begin_checkpoint();
      gate.resolve();
      const state = await done;
      await manager.flush();
      const metadata = await metadata_of(store, id);
      expect(metadata).toMatchObject({ checkpoint_state: state, message_count: 2 });
      expect(state).toEqual({ message_id: conversation.messages[1]?.id, summary: "summary 2" });
      expect(errors).toEqual([]);
    });

    test("rule 6: a checkpoint that began in another session is discarded, its state does not replace the one before", async () => {
      const opened = await open_with_summaries(backend, { provider_class });
      const { manager, conversation, store } = opened;
      const first = manager.start_new();
      await ask(conversation, "one");
      const finished = await opened.begin_checkpoint();
      finished.gate.resolve();
      const kept = await finished.done;
      const second = await manager.fork(first);
      await ask(conversation, "two");
      const stray = await opened.begin_checkpoint();
      await manager.load(first);
      expect(conversation.checkpoint_state).toEqual(kept);
      stray.gate.resolve();
      await stray.done;
      expect(conversation.checkpoint_state).toEqual(kept);
      await ask(conversation, "three");
      await manager.flush();
      expect((await metadata_of(store, first)).checkpoint_state).toEqual(kept);
      expect((await metadata_of(store, second)).checkpoint_state).toEqual(kept);
    });

    test("rule 6: a checkpoint under way does not leak into a session begun meanwhile", async () => {
      const opened = await open_with_summaries(backend, { provider_class });
      const { manager, conversation, store } = opened;
      manager.start_new();
      await ask(conversation, "secret");
      const { done, gate } = await opened.begin_checkpoint();
      const second = manager.start_new();
      await ask(conversation, "other");
      gate.resolve();
      await done;
      await manager.flush();
      expect(conversation.checkpoint_state).toBeUndefined();
      expect(await metadata_of(store, second)).not.toHaveProperty("checkpoint_state");
    });

    test("rule 6: a checkpoint that began before there was a session does not leak into one", async () => {
      const opened = await open_with_summaries(backend, { provider_class });
      const { manager, conversation, store } = opened;
      await ask(conversation, "secret");
      const { done, gate } = await opened.begin_checkpoint();
      const id = manager.start_new();
      await ask(conversation, "other");
      gate.resolve();
      await done;
      await manager.flush();
      expect(conversation.checkpoint_state).toBeUndefined();
      expect(await metadata_of(store, id)).not.toHaveProperty("checkpoint_state");
    });

    test("rule 6: of two checkpoints under way, only the one that began in this session counts", async () => {
      const opened = await open_with_summaries(backend, { provider_class });
      const { manager, conversation, store } = opened;
      manager.start_new();
      await ask(conversation, "secret");
      const stray = await opened.begin_checkpoint();
      const second = manager.start_new();
      await ask(conversation, "other");
      const own = await opened.begin_checkpoint();
      stray.gate.resolve();
      await stray.done;
      await manager.flush();
      expect(conversation.checkpoint_state).toBeUndefined();
      expect(await metadata_of(store, second)).not.toHaveProperty("checkpoint_state");
      own.gate.resolve();
      const state = await own.done;
      await manager.flush();
      expect((await metadata_of(store, second)).checkpoint_state).toEqual(state);
    });
  });

  test("rule 6: without auto_save a checkpoint is saved by save()", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.checkpoint_state = { message_id: "a1", summary: "short" };
    conversation.emit("checkpoint_complete");
    await manager.flush();
    expect(store.writes()).toEqual([]);
    await manager.save();
    expect((await metadata_of(store, id)).checkpoint_state).toEqual({ message_id: "a1", summary: "short" });
  });

  test("rule 6: start_new() clears the state", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.checkpoint_state = { message_id: "a1", summary: "secret" };
    conversation.emit("checkpoint_complete");
    const second = manager.start_new();
    expect(conversation.checkpoint_state).toBeUndefined();
    conversation.turn("on");
    await manager.flush();
    expect(await metadata_of(store, second)).not.toHaveProperty("checkpoint_state");
  });

  test("rule 6: load() sets the state of what is loaded, undefined included", async () => {
    const store = await open_recording(backend);
    await store.save("plain", turns(1), { kind: "root" });
    const state = { message_id: "a1", summary: "known" };
    await store.save("summed", turns(2), { kind: "root", checkpoint_state: state });
    const { manager, conversation } = open_plain(store);
    await manager.load("summed");
    expect(conversation.checkpoint_state).toEqual(state);
    await manager.load("plain");
    expect(conversation.checkpoint_state).toBeUndefined();
    conversation.turn("on");
    await manager.flush();
    expect(await metadata_of(store, "plain")).not.toHaveProperty("checkpoint_state");
    expect((await metadata_of(store, "summed")).checkpoint_state).toEqual(state);
  });

  test("rule 6: a stored state whose message is not there is not set", async () => {
    const store = await open_recording(backend);
    await store.save("stale", turns(1), { checkpoint_state: { message_id: "gone", summary: "of what?" } });
    const { manager, conversation } = open_plain(store);
    await manager.load("stale");
    expect(conversation.checkpoint_state).toBeUndefined();
  });

  test.each([
    ["a3", true],
    ["a2", true],
    ["a1", false],
  ])("rule 6: a fork at %s takes the state of a2 along: %s", async (message_id, travels) => {
    const store = await open_recording(backend);
    const state = { message_id: "a2", summary: "of two" };
    await store.save("parent", turns(3), { kind: "root", checkpoint_state: state });
    const { manager, conversation } = open_plain(store);
    conversation.checkpoint_state = { message_id: "elsewhere", summary: "stray" };
    const fork = await manager.fork("parent", { message_id });
    expect(conversation.checkpoint_state).toEqual(travels ? state : undefined);
    expect((await metadata_of(store, fork)).checkpoint_state).toEqual(travels ? state : undefined);
    await manager.load("parent");
    await manager.load(fork);
    expect(conversation.checkpoint_state).toEqual(travels ? state : undefined);
  });

  test("rule 6: a detached fork keeps the state with the messages that it keeps", async () => {
    const store = await open_recording(backend);
    await store.save("elsewhere", turns(1, "e"), { checkpoint_state: { message_id: "ea1", summary: "not ours" } });
    const { manager, conversation } = open_plain(store);
    manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.checkpoint_state = { message_id: "a1", summary: "ours" };
    conversation.emit("checkpoint_complete");
    const fork = await manager.fork("elsewhere", { detached: true });
    expect(conversation.checkpoint_state).toEqual({ message_id: "a1", summary: "ours" });
    expect((await metadata_of(store, fork)).checkpoint_state).toEqual({ message_id: "a1", summary: "ours" });
  });

  test("rule 6: a state that the application takes back is gone from the store", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.checkpoint_state = { message_id: "a1", summary: "short" };
    conversation.emit("checkpoint_complete");
    conversation.checkpoint_state = undefined;
    conversation.turn("on");
    await manager.flush();
    await manager.load(id);
    expect(conversation.checkpoint_state).toBeUndefined();
    expect(ids(conversation.messages)?.slice(0, 2)).toEqual(["u1", "a1"]);
  });

  test("rule 6: delete of the current session clears the state", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    conversation.checkpoint_state = { message_id: "a1", summary: "short" };
    await manager.delete(id);
    expect([conversation.checkpoint_state, conversation.messages]).toEqual([undefined, []]);
    expect(manager.current_session_id).toBeUndefined();
  });
});
