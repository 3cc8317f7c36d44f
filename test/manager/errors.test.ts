import process from "node:process";
import type { ConversationEvents } from "@simulacra-ai/core";
import { InMemorySessionStore, SessionManager } from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { turns } from "../support/messages.js";
import { open_plain, open_recording, open_session, record_of } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";
import { RecordingStore } from "../support/recording-store.js";

/** What the process warns of while the test runs, as far as it is about sessions. */
function warnings(): Error[] {
  const heard: Error[] = [];
  const listener = (warning: Error) => warning.name === "SessionWarning" && heard.push(warning);
  process.on("warning", listener);
  onTestFinished(() => void process.off("warning", listener));
  return heard;
}

/** Managers without ears, over a store that fails. */
function open_deaf(count: number) {
  const store = new RecordingStore(new InMemorySessionStore());
  const opened = Array.from({ length: count }, () => {
    const conversation = new PlainConversation();
    return { conversation, manager: new SessionManager(store, conversation) };
  });
  return { store, opened };
}

describe("nobody listening", () => {
  test("rule 5.1: failures that nobody hears become one warning per manager", async () => {
    const heard = warnings();
    const { store, opened } = open_deaf(2);
    store.fail_saves({ times: Infinity });
    const ids = opened.map(({ manager }) => manager.start_new());
    for (let turn = 0; turn < 3; turn += 1) {
      for (const { manager, conversation } of opened) {
        conversation.turn(`turn ${turn}`);
        conversation.spawn().turn("child");
        await expect(manager.flush()).rejects.toThrow("disk on fire");
      }
    }
    await round();
    expect(heard).toHaveLength(2);
    for (const [index, id] of ids.entries()) {
      expect(heard[index]?.message).toContain(id);
      expect(heard[index]?.message).toContain("disk on fire");
    }
  });

  test("rule 5.1: with a listener there is no warning", async () => {
    const heard = warnings();
    const store = new RecordingStore(new InMemorySessionStore());
    store.fail_saves();
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    await round();
    expect(heard).toEqual([]);
    expect(errors).toMatchObject([{ operation: "save", context: { session_id: id } }]);
    expect(errors[0]?.error).toMatchObject({ message: "disk on fire" });
  });

  test("rule 5.1: a failure after the last listener left is a warning again", async () => {
    const heard = warnings();
    const { store, opened } = open_deaf(1);
    const { manager, conversation } = opened[0]!;
    const listener = () => undefined;
    expect(manager.on("lifecycle_error", listener).off("lifecycle_error", listener)).toBe(manager);
    manager.start_new();
    store.fail_saves();
    conversation.turn("one");
    await manager.flush();
    await round();
    expect(heard).toHaveLength(1);
  });

  test("rule 5.4: a failure that a caller hears of is not reported as well", async () => {
    const heard = warnings();
    const { store, opened } = open_deaf(1);
    const { manager, conversation } = opened[0]!;
    manager.start_new();
    await manager.flush();
    store.fail_saves();
    conversation.messages.push(...turns(1));
    await expect(manager.save()).rejects.toThrow("disk on fire");
    await expect(manager.load("missing")).rejects.toThrow("session not found: missing");
    await expect(manager.rename("missing", "x")).rejects.toThrow("session not found: missing");
    await round();
    expect(heard).toEqual([]);
  });
});

/** Throws where it should have returned a promise. */
function throws_at_once(store: RecordingStore, times = 1): void {
  store.intercept(
    ["save", "append", "replace"],
    () => {
      throw new TypeError("not even a promise");
    },
    { times },
  );
}

each_backend((backend) => {
  test.each(PROVIDERS)(
    "rule 5: a store that throws at once does not disturb the turn, with %s",
    async (_name, provider_class) => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class });
      const failed: unknown[] = [];
      const later: ConversationEvents["message_complete"][0][] = [];
      conversation.on("request_error", (event) => failed.push(event));
      conversation.on("message_complete", (event) => later.push(event));
      const id = manager.start_new();
      await manager.flush();
      throws_at_once(store);
      await ask(conversation, "one");
      await manager.flush();
      expect([failed, later.length]).toEqual([[], 1]);
      expect(errors).toMatchObject([{ error: { message: "not even a promise" }, context: { session_id: id } }]);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    },
  );

  test.each(PROVIDERS)(
    "rule 5.2: listeners of the manager that throw disturb nothing, with %s",
    async (_name, provider_class) => {
      const store = await open_recording(backend);
      const { manager, conversation, errors, saves } = open_session(store, { provider_class });
      const failed: unknown[] = [];
      conversation.on("request_error", (event) => failed.push(event));
      for (const event of ["save", "load", "dispose"] as const) {
        manager.on(event, () => {
          throw new Error(`listener of ${event}`);
        });
      }
      let heard_after = 0;
      manager.on("save", () => (heard_after += 1));
      const id = manager.start_new();
      await manager.flush();
      await ask(conversation, "one");
      await manager.flush();
      await manager.load(id);
      await manager.save();
      manager[Symbol.dispose]();
      expect(failed).toEqual([]);
      expect(saves).toHaveLength(3);
      expect(heard_after).toBe(3);
      expect(errors.map(({ error }) => (error as Error).message)).toEqual(
        ["save", "save", "load", "save", "dispose"].map((event) => `listener of ${event}`),
      );
      expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    },
  );
});

test("rule 5.2: a listener of lifecycle_error that throws is a warning", async () => {
  const heard = warnings();
  const { store, opened } = open_deaf(1);
  const { manager, conversation } = opened[0]!;
  const reached: unknown[] = [];
  manager.on("lifecycle_error", () => {
    throw new Error("deaf on this ear");
  });
  manager.on("lifecycle_error", (event) => reached.push(event));
  store.fail_saves();
  manager.start_new();
  conversation.turn("one");
  await manager.flush();
  await round();
  expect(reached).toHaveLength(1);
  expect(heard.map(({ message }) => message)).toEqual([expect.stringContaining("deaf on this ear")]);
});

test("rule 5: a conversation whose messages cannot be read does not hear of it in its own events", async () => {
  const store = new RecordingStore(new InMemorySessionStore());
  const { manager, conversation, errors } = open_plain(store);
  const id = manager.start_new();
  await manager.flush();
  Object.defineProperty(conversation, "messages", {
    get: () => {
      throw new Error("unreadable");
    },
  });
  for (const event of ["message_complete", "checkpoint_begin", "checkpoint_complete", "state_change"] as const) {
    expect(() => conversation.emit(event)).not.toThrow();
  }
  expect(() => conversation.emit("create_child")).not.toThrow();
  expect(errors).toMatchObject([
    { error: { message: "unreadable" }, operation: "message_complete", context: { session_id: id } },
    { error: { message: "unreadable" }, operation: "checkpoint_complete", context: { session_id: id } },
  ]);
});

test("rule 5: a child that cannot be listened to does not disturb the one that begins it", async () => {
  const store = new RecordingStore(new InMemorySessionStore());
  const { manager, conversation, errors } = open_plain(store);
  const id = manager.start_new();
  const child = new PlainConversation();
  Object.defineProperty(child, "on", {
    value: () => {
      throw new Error("cannot be listened to");
    },
  });
  expect(() => conversation.spawn(child)).not.toThrow();
  conversation.turn("on");
  await manager.flush();
  expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  expect(errors).toMatchObject([{ error: { message: "cannot be listened to" }, operation: "create_child" }]);
});
