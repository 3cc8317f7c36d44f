import { Conversation, StreamingProvider, type ScriptedStep } from "@simulacra-ai/core";
import { SessionManager } from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { each_backend, offers, type Backend } from "../backends.js";
import { ask, round } from "../core/helpers.js";
import { history_of } from "../support/histories.js";
import { EIO, hold_and_fail, open_recording_with_drafts, WRITES_OF_MESSAGES } from "../support/faulty-store.js";
import { in_time, outcome_in_time } from "../support/in-time.js";
import { texts, turns } from "../support/messages.js";
import type { Held } from "../support/recording-store.js";

/** Opens a session without the flush that `open_session` adds to the end of a test: a deadlock would stop the flush. */
async function open_without_cleanup(backend: Backend, steps: ScriptedStep[] = [{}, {}, {}, {}]) {
  const store = await open_recording_with_drafts(backend);
  await store.save("other", turns(2, "o"), { kind: "root" });
  const conversation = new Conversation(new StreamingProvider(steps));
  const manager = new SessionManager(store, conversation);
  const errors: unknown[] = [];
  manager.on("lifecycle_error", (event) => errors.push(event));
  return { store, conversation, manager, errors };
}

type Opened = Awaited<ReturnType<typeof open_without_cleanup>>;

/** Opens a session whose first write is held until a whole turn is complete, and fails when it is released. */
async function open_with_late_failure(backend: Backend): Promise<Opened & { id: string; held: Held }> {
  const opened = await open_without_cleanup(backend);
  const held = hold_and_fail(opened.store, WRITES_OF_MESSAGES);
  const id = opened.manager.start_new();
  await held.reached;
  await ask(opened.conversation, "one");
  return { ...opened, id, held };
}

const CALLS: [string, (opened: Opened, id: string) => Promise<unknown>][] = [
  ["load(another)", ({ manager }) => manager.load("other")],
  ["load()", ({ manager }) => manager.load()],
  ["load(current)", ({ manager }, id) => manager.load(id)],
  ["fork(another)", ({ manager }) => manager.fork("other")],
  ["a detached fork", ({ manager }) => manager.fork("other", { detached: true })],
  ["rewind", ({ manager, conversation }) => manager.rewind(conversation.messages[0]!.id!)],
  ["rename", ({ manager }, id) => manager.rename(id, "renamed")],
  ["save", ({ manager }) => manager.save()],
  ["delete(another)", ({ manager }) => manager.delete("other")],
  ["delete(current)", ({ manager }, id) => manager.delete(id)],
  ["list", ({ manager }) => manager.list()],
  ["discard_draft", ({ manager }) => manager.discard_draft()],
  ["flush", ({ manager }) => manager.flush()],
];

each_backend((backend) => {
  test("rule 1.8: load(), flush() and disposal settle where the first write fails late, behind a prompt and its answer", async () => {
    const { store, manager, conversation, id, held } = await open_with_late_failure(backend);
    const shown = texts(conversation.messages);
    const loaded = outcome_in_time(manager.load("other"), "load()");
    held.release();
    expect(await loaded).toBe("done");
    expect(await outcome_in_time(manager.flush(), "flush()")).toBe("done");
    expect(manager.current_session_id).toBe("other");
    await ask(conversation, "goes on");
    expect(await outcome_in_time(manager[Symbol.asyncDispose](), "disposal")).toBe("done");
    expect(await history_of(store, id)).toEqual(shown);
    expect(await history_of(store, "other")).toEqual(texts(conversation.messages));
  });

  describe.each(["behind", "before"])("where the first write fails %s the call", (when) => {
    test.each(CALLS)("rule 1.8: %s settles, and so do flush() and disposal", async (what, call) => {
      const opened = await open_with_late_failure(backend);
      const { manager, held, id } = opened;
      if (when === "before") {
        held.release();
      }
      const outcome = outcome_in_time(call(opened, id), what);
      await round();
      held.release();
      await outcome;
      await outcome_in_time(manager.flush(), "flush()");
      await outcome_in_time(manager[Symbol.asyncDispose](), "disposal");
      expect(manager.pending).toBe(0);
    });
  });

  test("rule 1.8: load() and disposal settle where every write fails", async () => {
    const { store, manager, conversation } = await open_without_cleanup(backend);
    store.fail(WRITES_OF_MESSAGES, { times: Infinity }, EIO);
    manager.start_new();
    await ask(conversation, "one");
    const loaded = outcome_in_time(manager.load("other"), "load()");
    await loaded;
    expect(await outcome_in_time(manager.flush(), "flush()")).toBe("storage");
    expect(await outcome_in_time(manager[Symbol.asyncDispose](), "disposal")).toBe("storage");
    expect(manager.last_error).toMatchObject({ code: "storage" });
  });

  test("rule 18: what a child's first write waits for does not stop its parent", async () => {
    const { store, manager, conversation } = await open_without_cleanup(backend);
    const id = manager.start_new();
    await manager.flush();
    const held = hold_and_fail(store, WRITES_OF_MESSAGES);
    const child = conversation.spawn_child();
    await held.reached;
    await ask(child, "of the child");
    const outcomes = [
      outcome_in_time(manager.load("other"), "load()"),
      outcome_in_time(manager.rename(id, "renamed"), "rename()"),
      outcome_in_time(manager.delete(id, { forks: "cascade" }), "delete()"),
    ];
    await round();
    held.release();
    expect(await Promise.all(outcomes)).toEqual(["done", "done", "done"]);
    expect(await outcome_in_time(manager[Symbol.asyncDispose](), "disposal")).toBe("done");
  });

  test.each(["save", "load"] as const)(
    "rule 1.8: a listener of %s that waits for operations of the same manager stops nothing",
    async (event) => {
      const { manager, conversation } = await open_without_cleanup(backend);
      const ended: Promise<string>[] = [];
      const wait_for_all = () => {
        if (ended.length === 0) {
          ended.push(
            outcome_in_time(manager.flush(), "flush()"),
            outcome_in_time(manager.list(), "list()"),
            outcome_in_time(manager.rename("other", "renamed"), "rename()"),
          );
        }
      };
      manager.on(event, wait_for_all);
      manager.start_new();
      await ask(conversation, "one");
      expect(await outcome_in_time(manager.load("other"), "load()")).toBe("done");
      await vi.waitFor(() => expect(ended).toHaveLength(3));
      expect(await Promise.all(ended)).toEqual(["done", "done", "done"]);
      await in_time(manager[Symbol.asyncDispose](), "disposal");
    },
  );
}, offers("append"));
