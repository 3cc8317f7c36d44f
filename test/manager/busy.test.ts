import { Conversation, deferred, StreamingProvider, type EventName, type Policy } from "@simulacra-ai/core";
import { InMemorySessionStore, type SessionManager } from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { each_backend, offers } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { history_of, others_than } from "../support/histories.js";
import { outcome_in_time } from "../support/in-time.js";
import { texts, turns } from "../support/messages.js";
import { observe, open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

const CALLS = ["list", "load", "save", "delete", "append", "replace", "update", "flush"] as const;

/** Events between the beginning and the end of a turn. */
const EVENTS: EventName[] = [
  "before_request",
  "raw_request",
  "prompt_send",
  "state_change",
  "raw_response",
  "message_start",
  "content_start",
  "content_update",
  "message_update",
  "content_complete",
];

/** Returns the error that a call throws, or `"nothing"`. */
function thrown_by(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return "nothing";
}

function expect_busy(error: unknown): void {
  expect(error).toMatchObject({ name: "SessionError", code: "invalid_state" });
  const { message } = error as Error;
  expect(message).toMatch(/^invalid state/);
  expect(message).toMatch(/idle/);
  expect(message).toMatch(/cancel/);
}

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test.each(["first", "second"] as const)(
      "rule 3.2: start_new() is refused at every event of the %s turn of a session",
      async (which) => {
        const outcomes: [EventName, unknown][] = [];
        for (const event of EVENTS) {
          const store = new InMemorySessionStore();
          const { manager, conversation, errors } = open_session(store, { provider_class });
          const id = manager.start_new();
          if (which === "second") {
            await ask(conversation, "zero");
          }
          conversation.once(event, () => outcomes.push([event, thrown_by(() => manager.start_new())]));
          await ask(conversation, "one");
          await manager.flush();
          expect((await record_of(store, manager.current_session_id!)).messages).toEqual(conversation.messages);
          expect([event, await others_than(store, id), errors]).toEqual([event, [], []]);
        }
        expect(outcomes.map(([event]) => event)).toEqual(EVENTS);
        outcomes.forEach(([, thrown]) => expect_busy(thrown));
      },
    );

    test("rule 3.2: start_new() in the first turn of a manager without a session is refused", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const thrown: unknown[] = [];
      conversation.once("prompt_send", () => thrown.push(thrown_by(() => manager.start_new())));
      await ask(conversation, "one");
      expect_busy(thrown[0]);
      expect(manager.current_session_id).toBeUndefined();
      const id = manager.start_new();
      await ask(conversation, "two");
      await manager.flush();
      expect(await history_of(store, id)).toEqual(["two", "ok"]);
    });

    test("rule 3.2: start_new() is refused from outside of listeners, too, until the answer is there", async () => {
      const store = await open_recording(backend);
      const gate = deferred();
      const { manager, conversation } = open_session(store, { provider_class, script: [{ gate: gate.promise }, {}] });
      const id = manager.start_new();
      const started = new Promise<void>((resolve) => conversation.once("message_start", () => resolve()));
      const answered = ask(conversation, "one");
      await started;
      expect_busy(thrown_by(() => manager.start_new()));
      gate.resolve();
      await answered;
      const second = manager.start_new();
      await ask(conversation, "two");
      await manager.flush();
      expect(await history_of(store, id)).toEqual(["one", "ok"]);
      expect(await history_of(store, second)).toEqual(["two", "ok"]);
    });

    /** A listener that is older than the manager hears of the end before the manager does. */
    test.each(["state_change", "message_complete"] as const)(
      "rule 3.2: start_new() at the %s that ends a turn, heard before the manager hears of it, loses no turn",
      async (event) => {
        const store = await open_recording(backend);
        const conversation = new Conversation(new provider_class([{}, {}]));
        const opened: { manager?: SessionManager } = {};
        let outcome: unknown;
        conversation.on(event, () => {
          if (conversation.state === "idle") {
            outcome ??= thrown_by(() => opened.manager?.start_new());
          }
        });
        const { manager } = Object.assign(opened, observe(store, conversation));
        const id = manager.start_new();
        await ask(conversation, "one");
        await manager.flush();
        expect(outcome).toBeDefined();
        expect(await history_of(store, id)).toEqual(["one", "ok"]);
        if (outcome !== "nothing") {
          expect_busy(outcome);
          expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, ["one", "ok"]]);
        }
      },
    );

    test("rule 3.2: start_new() at message_complete begins a session behind the turn", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const first = manager.start_new();
      let second = "";
      conversation.once("message_complete", () => (second = manager.start_new()));
      await ask(conversation, "one");
      await ask(conversation, "two");
      await manager.flush();
      expect(await history_of(store, first)).toEqual(["one", "ok"]);
      expect(await history_of(store, second)).toEqual(["two", "ok"]);
    });

    test("rule 3.2: start_new() at the state_change that ends a turn loses no turn", async () => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const id = manager.start_new();
      const thrown: unknown[] = [];
      conversation.on("state_change", ({ current }) => {
        if (current === "idle") {
          thrown.push(thrown_by(() => manager.start_new()));
        }
      });
      await ask(conversation, "one");
      await manager.flush();
      expect(thrown).toHaveLength(1);
      expect_busy(thrown[0]);
      expect(await history_of(store, id)).toEqual(["one", "ok"]);
      expect(manager.current_session_id).toBe(id);
    });
  });
}, offers("append"));

each_backend((backend) => {
  /** Operations that change the conversation. */
  const changes: [string, (manager: SessionManager, id: string, message_id: string) => Promise<unknown>][] = [
    ["load(another)", (manager) => manager.load("other")],
    ["load(current)", (manager, id) => manager.load(id)],
    ["an attached fork", (manager) => manager.fork("other")],
    ["rewind", (manager, _id, message_id) => manager.rewind(message_id)],
    ["delete(current)", (manager, id) => manager.delete(id)],
  ];

  describe.each(["before_request", "prompt_send"] as const)("at %s", (event) => {
    test.each(changes)("rule 3.2: %s is refused, though the state still says idle", async (_what, change) => {
      const store = await open_recording(backend);
      await store.save("other", turns(1, "o"), { kind: "root" });
      const { manager, conversation } = open_session(store);
      const id = manager.start_new();
      await ask(conversation, "one");
      await manager.flush();
      const held = store.hold(CALLS);
      const outcomes: Promise<string>[] = [];
      conversation.once(event, () => {
        expect(conversation.state).toBe("idle");
        outcomes.push(outcome_in_time(change(manager, id, conversation.messages[1]!.id!)));
      });
      await ask(conversation, "two");
      held.release();
      expect(await Promise.all(outcomes)).toEqual(["invalid_state"]);
      await manager.flush();
      expect(manager.current_session_id).toBe(id);
      expect(texts(conversation.messages)).toEqual(["one", "ok", "two", "ok"]);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
      expect(await others_than(store, id)).toEqual(["other"]);
    });
  });

  test("rule 3.2: a conversation that tells of prompts but has no state is busy until its turn is complete", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const prompt = { role: "user", content: [{ type: "text", text: "one" }] };
    conversation.emit("prompt_send", { message: prompt });
    expect_busy(thrown_by(() => manager.start_new()));
    conversation.turn("one");
    expect(manager.start_new()).not.toBe(id);
    await manager.flush();
    expect(await history_of(store, id)).toEqual(["one", "re: one"]);
  });
});

describe("a turn that ends without an answer", () => {
  const failing_policy: Policy = { execute: () => Promise.reject(new Error("no quota")) };

  function open_idle(conversation: Conversation) {
    const { manager } = observe(new InMemorySessionStore(), conversation);
    return { manager, id: manager.start_new() };
  }

  /** Ways for a turn to end without an answer. */
  const endings: [string, () => Conversation, (conversation: Conversation) => Promise<unknown>][] = [
    [
      "a failed request",
      () => new Conversation(new StreamingProvider([{ fail_request: new Error("no network") }])),
      (conversation) => conversation.prompt("one"),
    ],
    [
      "a failed stream",
      () => new Conversation(new StreamingProvider([{ text: "half", fail_stream: new Error("cut") }])),
      (conversation) => conversation.prompt("one"),
    ],
    [
      "a cancelled stream",
      () => new Conversation(new StreamingProvider([{ text: "half", gate: new Promise(() => undefined) }])),
      async (conversation) => {
        await conversation.prompt("one");
        conversation.cancel_response();
      },
    ],
    [
      "a policy that refuses",
      () => new Conversation(new StreamingProvider([]), failing_policy),
      (conversation) => conversation.prompt("one"),
    ],
    [
      "a context transformer that fails",
      () =>
        new Conversation(new StreamingProvider([]), undefined, {
          transform_prompt: () => Promise.reject(new Error("too long")),
        }),
      (conversation) => conversation.prompt("one"),
    ],
    [
      "two prompts at once",
      () => new Conversation(new StreamingProvider([{}, {}])),
      (conversation) => Promise.allSettled([conversation.prompt("one"), conversation.prompt("another")]),
    ],
  ];

  test.each(endings)("rule 3.2: behind %s start_new() works again", async (_what, open, run) => {
    const conversation = open();
    const { manager, id } = open_idle(conversation);
    await run(conversation);
    await vi.waitFor(() => expect(conversation.state).toBe("idle"));
    await round();
    await round();
    await vi.waitFor(() => expect(manager.start_new()).not.toBe(id));
    await manager.flush();
  });
});
