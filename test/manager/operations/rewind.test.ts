import { deferred, type ModelRequest, type ScriptedStep } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { ask, PROVIDERS } from "../../core/helpers.js";
import { echo } from "../../support/echo.js";
import { ids, turns } from "../../support/messages.js";
import {
  contents_of,
  metadata_of,
  open_plain,
  open_recording,
  open_session,
  record_of,
} from "../../support/open-session.js";
import { T, open_fork, open_loaded } from "./rewind-session.js";
import {
  each_store,
  fork_after,
  history_of,
  only_other,
  open_with_turns,
  others_than,
  said,
} from "../../support/histories.js";

each_store((backend) => {
  test.each([
    ["u1", 1],
    ["a1", 2],
    ["u2", 3],
    ["u3", 5],
  ])("rule 16.3: rewind to %s goes on from there, and what was cut lives on", async (message_id, count) => {
    const { store, manager, conversation, errors } = await open_loaded(backend);
    const fork = await manager.rewind(message_id);
    expect(manager.current_session_id).toBe("s");
    expect(conversation.messages).toEqual(turns(3).slice(0, count));
    const { id, metadata, messages, history } = await only_other(store, "s");
    expect(id).toBe(fork);
    expect(metadata).toMatchObject({
      kind: "fork",
      parent_id: "s",
      label: "mine (rewound)",
      fork_message_id: message_id,
      fork_message_count: count,
    });
    expect(metadata).not.toHaveProperty("detached");
    expect(messages).toEqual(turns(3).slice(count));
    expect(history).toEqual(T(3));
    conversation.turn("on");
    await manager.save();
    expect(await history_of(store, "s")).toEqual([...T(3).slice(0, count), ...said("on")]);
    expect(await metadata_of(store, "s")).toMatchObject({ kind: "root", label: "mine", label_source: "user" });
    expect(await history_of(store, fork!)).toEqual(T(3));
    expect(await store.list()).toHaveLength(2);
    expect(errors).toEqual([]);
  });

  test("rule 16.3: loading the fork is the undo", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const fork = await manager.rewind("a1");
    conversation.turn("another way");
    await manager.load(fork);
    expect(conversation.messages).toEqual(turns(3));
    conversation.turn("as before");
    await manager.flush();
    expect(await history_of(store, fork!)).toEqual([...T(3), ...said("as before")]);
    expect(await history_of(store, "s")).toEqual([...T(1), ...said("another way")]);
  });

  test("rule 16.3: rewound twice, each tail lives on", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const first = await manager.rewind("a2");
    const second = await manager.rewind("a1");
    expect(conversation.messages).toEqual(turns(1));
    expect(await history_of(store, "s")).toEqual(T(1));
    expect(await history_of(store, second!)).toEqual(T(2));
    expect(await history_of(store, first!)).toEqual(T(3));
  });

  test("rule 16.4: forks whose fork point is cut off inherit from the new one, others stay", async () => {
    const { store, manager } = await open_loaded(backend);
    const [early, at_cut, late] = [
      await fork_after(store, "s", 1, "early"),
      await fork_after(store, "s", 2, "at"),
      await fork_after(store, "s", 5, "late"),
    ];
    const nested = await fork_after(store, late, 6, "nested");
    const before = await metadata_of(store, late);
    const fork = await manager.rewind("a1");
    expect((await metadata_of(store, early)).parent_id).toBe("s");
    expect((await metadata_of(store, at_cut)).parent_id).toBe("s");
    expect(await metadata_of(store, late)).toMatchObject({ parent_id: fork, updated_at: before.updated_at });
    expect(await history_of(store, early)).toEqual([...T(3).slice(0, 1), ...said("early")]);
    expect(await history_of(store, at_cut)).toEqual([...T(1), ...said("at")]);
    expect(await history_of(store, late)).toEqual([...T(3).slice(0, 5), ...said("late")]);
    expect(await history_of(store, nested)).toEqual([...T(3).slice(0, 5), "late", ...said("nested")]);
  });

  test.each([
    ["u1", 1],
    ["a1", 2],
    ["u2", 3],
    ["a2", 4],
  ])("rule 16: a fork may be rewound to %s, which it inherits or ends with", async (message_id, count) => {
    const { store, manager, conversation, errors } = await open_fork(backend);
    const late = await fork_after(store, "s", 6, "late");
    const fork = await manager.rewind(message_id);
    expect(manager.current_session_id).toBe("s");
    expect(conversation.messages).toEqual(turns(2).slice(0, count));
    const whole = [...T(2), "question f1", "answer f1"];
    expect(await history_of(store, fork!)).toEqual(whole);
    expect((await metadata_of(store, fork!)).label).toBe("mine (rewound)");
    expect(await history_of(store, late)).toEqual([...whole, ...said("late")]);
    expect(await history_of(store, "s")).toEqual(T(2).slice(0, count));
    conversation.turn("on");
    await manager.save();
    expect(await history_of(store, "s")).toEqual([...T(2).slice(0, count), ...said("on")]);
    expect(await history_of(store, "root")).toEqual(T(2));
    expect(await history_of(store, fork!)).toEqual(whole);
    expect(errors).toEqual([]);
  });

  test("rule 16.3: to the last message there is nothing to cut", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const before = await contents_of(store);
    expect(await manager.rewind("a3")).toBeUndefined();
    expect(conversation.messages).toEqual(turns(3));
    expect([manager.current_session_id, await contents_of(store)]).toEqual(["s", before]);
  });

  test("rule 16.1: an unknown message is invalid_input, and nothing changes", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const before = await contents_of(store);
    await expect(manager.rewind("u9")).rejects.toMatchObject({ name: "SessionError", code: "invalid_input" });
    expect([manager.current_session_id, await contents_of(store)]).toEqual(["s", before]);
    expect(conversation.messages).toEqual(turns(3));
    conversation.turn("on");
    await manager.flush();
    expect(await history_of(store, "s")).toEqual([...T(3), ...said("on")]);
  });

  test("rule 16: without a session there is nothing to rewind", async () => {
    const { manager } = open_plain(await open_recording(backend));
    await expect(manager.rewind("u1")).rejects.toMatchObject({ code: "invalid_state", message: "no active session" });
  });

  test("rule 16.3: messages not saved yet are part of what is cut", async () => {
    const { store, manager, conversation } = await open_loaded(backend, { auto_save: false });
    conversation.messages.push(...turns(1, "x"));
    const fork = await manager.rewind("a1");
    expect(await history_of(store, fork!)).toEqual([...T(3), "question x1", "answer x1"]);
    expect(conversation.messages).toEqual(turns(1));
    expect(await history_of(store, "s")).toEqual(T(1));
  });

  test("rule 16: a session that was never stored may be rewound", async () => {
    const { store, id, manager, conversation } = await open_with_turns(backend, [], { auto_save: false });
    conversation.load(turns(2));
    const fork = await manager.rewind("a1");
    expect(manager.current_session_id).toBe(id);
    expect(await history_of(store, id)).toEqual(T(1));
    expect(await history_of(store, fork!)).toEqual(T(2));
  });

  test("rule 16: a checkpoint whose message is cut goes with the tail, others stay", async () => {
    const { store, manager, conversation } = await open_loaded(backend);
    const state = { message_id: "a2", summary: "so far" };
    conversation.checkpoint_state = state;
    conversation.emit("checkpoint_complete", state);
    await manager.flush();
    const first = await manager.rewind("u3");
    expect(conversation.checkpoint_state).toEqual(state);
    expect((await metadata_of(store, "s")).checkpoint_state).toEqual(state);
    const second = await manager.rewind("a1");
    expect(conversation.checkpoint_state).toBeUndefined();
    const stored = (await metadata_of(store, "s")).checkpoint_state ?? undefined;
    expect(stored).toBeUndefined();
    expect((await metadata_of(store, second!)).checkpoint_state).toEqual(state);
    conversation.turn("on");
    await manager.flush();
    expect((await metadata_of(store, "s")).checkpoint_state ?? undefined).toBeUndefined();
    await manager.load(first);
    expect(conversation.checkpoint_state).toEqual(state);
  });

  test("rule 16: a checkpoint under way whose message stays is kept", async () => {
    const store = await open_recording(backend);
    const [asked, gate] = [deferred(), deferred()];
    const script = (request: ModelRequest): ScriptedStep => {
      const last = request.messages.at(-1)?.content.at(-1);
      if (last?.type !== "text" || !last.text.includes("Summarize")) {
        return echo(request);
      }
      asked.resolve();
      return { text: "summary", gate: gate.promise };
    };
    const { manager, conversation } = open_session(store, { script });
    const id = manager.start_new();
    await ask(conversation, "one");
    const done = conversation.checkpoint();
    await asked.promise;
    await ask(conversation, "two");
    await manager.rewind(conversation.messages[1]?.id ?? "");
    gate.resolve();
    const state = await done;
    await manager.flush();
    expect(state.message_id).toBe(conversation.messages[1]?.id);
    expect(conversation.checkpoint_state).toEqual(state);
    expect((await metadata_of(store, id)).checkpoint_state).toEqual(state);
  });

  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    /** Messages that came from the engine, and a turn that waits for its gate. */
    async function open_engine(options = {}) {
      const store = await open_recording(backend);
      const gate = deferred();
      const script = [{ text: "first" }, { text: "second" }, { text: "third", gate: gate.promise }, { text: "fourth" }];
      const opened = open_session(store, { provider_class, script, ...options });
      const id = opened.manager.start_new("mine");
      await ask(opened.conversation, "one");
      await ask(opened.conversation, "two");
      await opened.manager.flush();
      const begin_turn = async () => {
        const sent = new Promise<void>((resolve) => opened.conversation.once("message_start", () => resolve()));
        const reply = ask(opened.conversation, "three");
        await sent;
        return reply;
      };
      const first_reply = opened.conversation.messages[1]?.id ?? "";
      return { store, gate, id, first_reply, begin_turn, ...opened };
    }

    test("rule 16: the engine goes on from the message", async () => {
      const { store, gate, id, first_reply, manager, conversation, loads } = await open_engine();
      gate.resolve();
      const whole = conversation.messages;
      const fork = await manager.rewind(first_reply);
      expect(ids(conversation.messages)).toEqual(ids(whole.slice(0, 2)));
      expect(loads.at(-1)).toMatchObject({ id, messages: whole.slice(0, 2) });
      await ask(conversation, "another way");
      await manager.flush();
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
      await manager.load(fork);
      expect(conversation.messages).toEqual(whole);
    });

    test("rules 3.1 and 16: while a turn is in flight it is an invalid state, and nothing changes", async () => {
      const { store, gate, id, first_reply, begin_turn, manager, conversation } = await open_engine();
      const begun = begin_turn();
      await Promise.race([begun, new Promise((resolve) => conversation.once("message_start", resolve))]);
      const before = await contents_of(store);
      await expect(manager.rewind(first_reply)).rejects.toMatchObject({
        message: expect.stringMatching(/^invalid state/) as string,
      });
      expect(await contents_of(store)).toEqual(before);
      gate.resolve();
      await begun;
      await manager.flush();
      expect(manager.current_session_id).toBe(id);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
      expect(conversation.messages).toHaveLength(6);
    });

    test.each([
      ["the session", ["load"], 1],
      ["its forks", ["list"], 1],
      ["the tail to be written", ["replace", "save"], 1],
      ["the rest to be written", ["replace", "save"], 2],
    ] as const)("rules 3.3 and 16: a turn begun while it waits for %s changes nothing", async (_what, methods, nth) => {
      const { store, gate, id, first_reply, manager, conversation } = await open_engine();
      const late = await fork_after(store, id, 4, "late");
      const before = await contents_of(store);
      const held = store.hold_answer(methods, { nth });
      const rewound = manager.rewind(first_reply);
      await held.reached;
      const started = new Promise((resolve) => conversation.once("message_start", resolve));
      const reply = ask(conversation, "three");
      await started;
      held.release();
      await expect(rewound).rejects.toMatchObject({ message: expect.stringMatching(/^invalid state/) as string });
      expect(manager.current_session_id).toBe(id);
      expect(conversation.messages).toHaveLength(4);
      expect(await contents_of(store)).toEqual(before);
      gate.resolve();
      await reply;
      await manager.flush();
      expect(conversation.messages).toHaveLength(6);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
      expect(await others_than(store, id, late)).toEqual([]);
      expect((await history_of(store, late))?.slice(-2)).toEqual(said("late"));
    });
  });
});
