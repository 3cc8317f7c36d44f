import process from "node:process";
import { InMemorySessionStore, SessionManager, type SessionManagerOptions } from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { history_of, only_other, others_than, said } from "../support/histories.js";
import { histories_of } from "../support/faulty-store.js";
import { texts, turns } from "../support/messages.js";
import { contents_of, open_plain, open_recording, open_session, type Observed } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";

const UNSAVED = { operation: "save", error: { name: "SessionError", code: "invalid_state" } };
const AUTO_START = { auto_start: true } as SessionManagerOptions;

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test("rule 19.1: turns of a manager that has no session are reported once, not one by one", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class });
      await ask(conversation, "one");
      await manager.flush();
      expect(errors).toMatchObject([UNSAVED]);
      await ask(conversation, "two");
      await manager.flush();
      expect(errors).toHaveLength(1);
      expect([manager.current_session_id, store.writes()]).toEqual([undefined, []]);
    });

    test("rule 19.2: with auto_start a turn begins a session instead", async () => {
      const store = await open_recording(backend);
      const { manager, conversation, errors } = open_session(store, { provider_class, ...AUTO_START });
      expect(manager.current_session_id).toBeUndefined();
      await ask(conversation, "one");
      await ask(conversation, "two");
      expect(manager.current_session_id).toEqual(expect.any(String));
      await manager.flush();
      const [entry, ...others] = await store.list();
      expect(entry).toMatchObject({ id: manager.current_session_id, kind: "root", label: "one", label_source: "auto" });
      expect([others, errors]).toEqual([[], []]);
      expect(await history_of(store, manager.current_session_id!)).toEqual(texts(conversation.messages));
    });
  });

  test("rule 19.1: a turn behind the deletion of the current session is reported, each time anew", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    conversation.turn("before any session");
    for (const count of [2, 3]) {
      const id = manager.start_new();
      conversation.turn("in a session");
      await manager.flush();
      expect(errors).toHaveLength(count - 1);
      await manager.delete(id);
      conversation.turn("behind the deletion");
      conversation.turn("and another one");
      await manager.flush();
      expect(errors).toMatchObject(Array(count).fill(UNSAVED));
    }
  });

  test("rule 19.1: a turn behind a load that was refused is reported once", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    await expect(manager.load("missing")).rejects.toMatchObject({ code: "not_found" });
    conversation.turn("one");
    await expect(manager.load("missing")).rejects.toMatchObject({ code: "not_found" });
    conversation.turn("two");
    await manager.flush();
    expect(errors).toMatchObject([UNSAVED]);
    expect(texts(conversation.messages)).toEqual(said("one", "two"));
  });

  test("rule 19.1: without auto_save, a turn without a session is not reported", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store, { auto_save: false });
    conversation.turn("one");
    await manager.flush();
    expect([errors, store.writes()]).toEqual([[], []]);
  });

  test("rule 19.2: with auto_start a turn behind the deletion of the current session begins another one", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store, AUTO_START);
    conversation.turn("one");
    const first = manager.current_session_id!;
    expect(await manager.delete(first)).toBe(true);
    conversation.turn("two");
    await manager.flush();
    const second = manager.current_session_id!;
    expect(second).not.toBe(first);
    expect([await history_of(store, second), await others_than(store, second)]).toEqual([said("two"), []]);
    expect(errors).toEqual([]);
  });
});

test("rules 5.1 and 19.1: a turn without a session that nobody hears of is a warning of the process", async () => {
  const warnings: Error[] = [];
  const listener = (warning: Error) => warning.name === "SessionWarning" && warnings.push(warning);
  process.on("warning", listener);
  onTestFinished(() => void process.off("warning", listener));
  const conversation = new PlainConversation();
  const manager = new SessionManager(new InMemorySessionStore(), conversation);
  conversation.turn("one");
  conversation.turn("two");
  await manager.flush().catch(() => undefined);
  await round();
  expect(warnings).toHaveLength(1);
});

type Opened = Observed & { conversation: PlainConversation };

/** Calls that replace the conversation's messages, and the texts that the conversation holds afterwards. */
const TAKING_OVER: [string, (opened: Opened) => unknown, shown: string[]][] = [
  ["load(id)", ({ manager }) => manager.load("other"), texts(turns(1, "o"))!],
  ["an attached fork", ({ manager }) => manager.fork("other"), texts(turns(1, "o"))!],
  ["start_new()", ({ manager }) => manager.start_new(), []],
];

const REJECTING = TAKING_OVER.slice(0, 2) as [string, (opened: Opened) => Promise<unknown>, string[]][];

each_backend((backend) => {
  async function open_with_turns(options: SessionManagerOptions = {}) {
    const store = await open_recording(backend);
    await store.save("other", turns(1, "o"), { kind: "root" });
    const opened = open_plain(store, options);
    opened.conversation.turn("one", "re: one", { usage: { output_tokens: 1 } });
    opened.conversation.turn("two", "re: two", { usage: { output_tokens: 1 } });
    return { store, ...opened };
  }

  test.each(TAKING_OVER)(
    "rule 19.3: %s stores the turns that are in no session, as one of their own",
    async (...args) => {
      const [, take_over, shown] = args;
      const opened = await open_with_turns();
      const { store, manager, conversation } = opened;
      await take_over(opened);
      expect(texts(conversation.messages)).toEqual(shown);
      conversation.turn("three");
      await manager.flush();
      const current = manager.current_session_id!;
      const { metadata, history } = await only_other(store, current, "other");
      expect(history).toEqual(said("one", "two"));
      expect(metadata).toMatchObject({ kind: "root", label: "one", label_source: "auto", message_count: 4 });
      expect(metadata.usage).toMatchObject({ requests: 2, output_tokens: 2 });
      expect(metadata).not.toHaveProperty("parent_id");
      expect(await history_of(store, current)).toEqual([...shown, ...said("three")]);
      await manager.load("other");
      manager.start_new();
      await manager.flush();
      const copies = [...(await histories_of(store)).values()].filter((history) => history.includes("one"));
      expect(copies).toHaveLength(1);
    },
  );

  test("rule 19.3: load() without an id stores the turns that are in no session", async () => {
    const { store, manager } = await open_with_turns();
    await manager.load();
    await manager.flush();
    expect([...(await histories_of(store)).values()]).toContainEqual(said("one", "two"));
  });

  test.each(REJECTING)(
    "rule 19.4: %s is refused where those turns cannot be stored",
    async (_what, take_over, shown) => {
      const opened = await open_with_turns();
      const { store, manager, conversation } = opened;
      const before = await contents_of(store);
      store.fail_saves({ times: Infinity });
      await expect(take_over(opened)).rejects.toThrow("disk on fire");
      expect(texts(conversation.messages)).toEqual(said("one", "two"));
      expect([manager.current_session_id, await contents_of(store)]).toEqual([undefined, before]);
      store.heal();
      await take_over(opened);
      await manager.flush();
      expect(texts(conversation.messages)).toEqual(shown);
      const copies = [...(await histories_of(store)).values()].filter((history) => history.includes("one"));
      expect(copies).toEqual([said("one", "two")]);
    },
  );

  test.each(REJECTING)("rule 15: those turns are stored by flush() where %s could not", async (_what, take_over) => {
    const opened = await open_with_turns();
    const { store, manager } = opened;
    store.fail_saves({ times: Infinity });
    await expect(take_over(opened)).rejects.toThrow("disk on fire");
    store.heal();
    await manager.flush();
    expect([...(await histories_of(store)).values()]).toContainEqual(said("one", "two"));
  });

  test("rule 19.4: behind start_new() those turns stay to be stored until flush() succeeds", async () => {
    const { store, manager, conversation } = await open_with_turns();
    store.fail_saves({ times: Infinity });
    const id = manager.start_new();
    conversation.turn("three");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    expect(manager.last_error).toMatchObject({ message: "disk on fire" });
    store.heal();
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("three"));
    expect((await only_other(store, id, "other")).history).toEqual(said("one", "two"));
    expect(manager.last_error).toBeUndefined();
  });

  test("rule 19.3: turns behind the deletion of the current session are stored by the next load()", async () => {
    const { store, manager, conversation } = await open_with_turns();
    const id = manager.start_new();
    conversation.turn("deleted");
    await manager.delete(id);
    conversation.turn("kept");
    await manager.load("other");
    await manager.flush();
    const histories = [...(await histories_of(store)).values()];
    expect(histories).toContainEqual(said("one", "two"));
    expect(histories).toContainEqual(said("kept"));
    expect(histories).toHaveLength(3);
  });

  test.each(TAKING_OVER)(
    "rule 19.5: before %s, messages that the application loaded are not stored",
    async (...args) => {
      const [, take_over] = args;
      const store = await open_recording(backend);
      await store.save("other", turns(1, "o"), { kind: "root" });
      const opened = open_plain(store);
      opened.conversation.load(turns(2, "x"));
      await take_over(opened);
      await opened.manager.flush();
      expect(await others_than(store, opened.manager.current_session_id)).toEqual(
        opened.manager.current_session_id === "other" ? [] : ["other"],
      );
      expect(opened.errors).toEqual([]);
    },
  );

  test.each(TAKING_OVER)("rule 19.3: before %s, turns behind such messages are stored", async (...args) => {
    const [, take_over] = args;
    const store = await open_recording(backend);
    await store.save("other", turns(1, "o"), { kind: "root" });
    const opened = open_plain(store);
    opened.conversation.load(turns(2, "x"));
    opened.conversation.turn("one");
    await take_over(opened);
    await opened.manager.flush();
    const histories = [...(await histories_of(store)).values()];
    expect(histories.filter((history) => String(history.slice(-2)) === String(said("one")))).toHaveLength(1);
  });

  test("rule 19.5: turns that a detached fork took over are not stored again", async () => {
    const { store, manager } = await open_with_turns();
    const fork = await manager.fork("other", { detached: true });
    await manager.load("other");
    await manager.flush();
    expect(await history_of(store, fork)).toEqual(said("one", "two"));
    expect(await others_than(store, "other", fork)).toEqual([]);
  });

  describe("rule 19.6: where a load stored those turns and failed", () => {
    async function open_after_failed_load() {
      const opened = await open_with_turns();
      await expect(opened.manager.load("missing")).rejects.toMatchObject({ code: "not_found" });
      const [id] = await others_than(opened.store, "other");
      return { ...opened, id: id! };
    }

    test("later turns are saved to the same session", async () => {
      const { store, manager, conversation, id } = await open_after_failed_load();
      conversation.turn("three");
      await manager.flush();
      expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
      expect(manager.current_session_id).toBeUndefined();
      manager.start_new();
      await manager.flush();
      expect([...(await histories_of(store)).values()].filter((history) => history.includes("one"))).toHaveLength(1);
    });

    test("a turn behind a waiting deletion of that session makes the deletion fail", async () => {
      const { store, manager, conversation, id } = await open_after_failed_load();
      const deleted = manager.delete(id);
      conversation.turn("three");
      await expect(deleted).rejects.toMatchObject({ code: "invalid_state" });
      await manager.flush();
      expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
    });

    test("a turn behind the deletion of that session is stored by the next call", async () => {
      const { store, manager, conversation, id } = await open_after_failed_load();
      expect(await manager.delete(id)).toBe(true);
      conversation.turn("three");
      manager.start_new();
      await manager.flush();
      const histories = [...(await histories_of(store)).values()];
      expect(histories).toContainEqual(said("three"));
      expect(histories.flat()).not.toContain("one");
    });
  });

  test("rule 15: closing a manager whose turns are in no session settles", async () => {
    const { store, manager, errors } = await open_with_turns();
    await manager[Symbol.asyncDispose]();
    expect(errors).toMatchObject([UNSAVED]);
    expect(await others_than(store)).toEqual(["other"]);
  });

  test("rule 19.5: turns that were complete before the manager listened are not stored", async () => {
    const store = await open_recording(backend);
    await store.save("other", turns(1, "o"), { kind: "root" });
    const conversation = new PlainConversation();
    conversation.turn("one");
    const manager = new SessionManager(store, conversation);
    await manager.load("other");
    await manager.flush();
    expect(await others_than(store, "other")).toEqual([]);
  });

  describe.each<SessionManagerOptions>([{ auto_save: false }, { on_replace: "overwrite" }])("with %o", (options) => {
    test.each(TAKING_OVER)("rule 19.5: %s stores nothing of turns that are in no session", async (_what, take_over) => {
      const opened = await open_with_turns(options);
      const { store, manager } = opened;
      await take_over(opened);
      await manager.flush();
      const histories = [...(await histories_of(store)).values()].flat();
      expect(histories).not.toContain("one");
    });
  });
});
