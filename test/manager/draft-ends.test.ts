import { Conversation, next_reply, StreamingProvider, type ScriptedStep } from "@simulacra-ai/core";
import {
  InMemorySessionStore,
  SessionManager,
  type SessionDraft,
  type SessionManagerOptions,
  type SessionStore,
} from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { each_backend, offers } from "../backends.js";
import { open_backend } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";

const FAILS = { fail_request: new Error("no network") };

function prompt_of(draft: SessionDraft | undefined): string | undefined {
  const [first] = draft?.prompt.content ?? [];
  return first?.type === "text" ? first.text : undefined;
}

/** A store whose drafts are as slow, or fail, as the test says. */
class DraftStore extends InMemorySessionStore {
  held: Promise<void> = Promise.resolve();
  fails = false;
  removed = 0;

  override async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    await this.held;
    if (this.fails) {
      throw new Error("no room");
    }
    this.removed += draft === undefined ? 1 : 0;
    await super.set_draft(id, draft);
  }
  override async save(...args: Parameters<InMemorySessionStore["save"]>): Promise<void> {
    await super.save(...args);
  }
  override async load(...args: Parameters<InMemorySessionStore["load"]>) {
    return super.load(...args);
  }

  /** Nothing is written until the result is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.held = new Promise((resolve) => (release = resolve));
    return release;
  }
}

function opened(store: SessionStore, steps: ScriptedStep[], options: SessionManagerOptions = {}) {
  const conversation = new Conversation(new StreamingProvider(steps));
  const manager = new SessionManager(store, conversation, options);
  const errors: unknown[] = [];
  manager.on("lifecycle_error", ({ operation }) => errors.push(operation));
  const ask = async (text: string) => void (await Promise.all([next_reply(conversation), conversation.prompt(text)]));
  const fail = async (text: string) => {
    await conversation.prompt(text).catch(() => undefined);
    await vi.waitFor(() => expect(conversation.state).toBe("idle"));
  };
  const stored = async (id: string) => prompt_of((await store.load(id))?.draft);
  return { conversation, manager, errors, ask, fail, stored };
}

/** A session with one turn and the draft of another one that failed. */
async function with_draft(store: SessionStore): Promise<string> {
  const { manager, ask, fail } = opened(store, [{ text: "yes" }, FAILS]);
  const id = manager.start_new();
  await ask("one");
  await fail("two");
  await manager.flush();
  manager[Symbol.dispose]();
  return id;
}

each_backend((backend) => {
  test("rule 17.8: without auto_save a stored draft is handed over, and gone when its prompt is answered and stored", async () => {
    const { store } = await open_backend(backend);
    const id = await with_draft(store);
    const { conversation, manager, stored } = opened(store, [{ text: "yes" }], { auto_save: false });
    await manager.load(id);
    expect(prompt_of(manager.draft)).toBe("two");
    await Promise.all([next_reply(conversation), manager.resume_draft()]);
    expect([manager.draft, await stored(id)]).toEqual([undefined, "two"]);
    await manager.save();
    await manager.flush();
    expect([manager.draft, await stored(id)]).toEqual([undefined, undefined]);
  });

  test("rule 17.8: with drafts: false nothing is handed over", async () => {
    const { store } = await open_backend(backend);
    const id = await with_draft(store);
    const { manager, stored } = opened(store, [], { drafts: false });
    const loads: object[] = [];
    manager.on("load", (event) => loads.push(event));
    await manager.load(id);
    expect(manager.draft).toBeUndefined();
    expect(loads).toMatchObject([{ id }]);
    expect(loads[0]).not.toHaveProperty("draft");
    await expect(manager.resume_draft()).rejects.toMatchObject({ code: "invalid_state" });
    expect(await stored(id)).toBe("two");
  });

  test("rule 17.4: a rewind leaves the draft, and a later turn takes it", async () => {
    const { store } = await open_backend(backend);
    const { conversation, manager, ask, fail, stored } = opened(store, [
      { text: "1" },
      { text: "2" },
      FAILS,
      { text: "3" },
    ]);
    const id = manager.start_new();
    await ask("one");
    await ask("two");
    await fail("three");
    const loads: (string | undefined)[] = [];
    manager.on("load", ({ draft }) => loads.push(prompt_of(draft)));
    await manager.rewind(conversation.messages[1]?.id ?? "");
    expect([prompt_of(manager.draft), await stored(id), loads]).toEqual(["three", "three", ["three"]]);
    await Promise.all([next_reply(conversation), manager.resume_draft()]);
    await manager.flush();
    expect([manager.draft, await stored(id)]).toEqual([undefined, undefined]);
  });
}, offers("append"));

test("rule 17.5: load() right behind a cancelled turn hands over the newest draft, and a later turn takes it", async () => {
  const store = new DraftStore();
  const half = { text: "half of it", chunks: 2, gate: new Promise<void>(() => undefined) };
  const { conversation, manager, ask, stored } = opened(store, [half, { text: "yes" }], {
    draft_interval_ms: 60_000,
  });
  const id = manager.start_new();
  await manager.flush();
  await conversation.prompt("one");
  await vi.waitFor(() => expect(manager.draft?.partial).toBeDefined());
  const { draft } = manager;
  const release = store.hold();
  conversation.cancel_response();
  await vi.waitFor(() => expect(conversation.state).toBe("idle"));
  const loaded = manager.load(id);
  setTimeout(release, 20);
  await loaded;
  expect(manager.draft).toEqual(draft);
  expect((await store.load(id))?.draft).toEqual(draft);
  await ask("two");
  await manager.flush();
  expect([manager.draft, await stored(id)]).toEqual([undefined, undefined]);
});

test("rule 17.2: load() of another session does not wait for the draft of one that cannot be stored", async () => {
  const store = new DraftStore();
  const other = await with_draft(store);
  store.replace = async () => Promise.reject(new Error("full"));
  const { manager, fail } = opened(store, [FAILS]);
  manager.start_new();
  await fail("lost");
  await manager.load(other);
  expect(prompt_of(manager.draft)).toBe("two");
});

test("rule 17.3: a failed turn's draft does not outlive the next turn, though that one's draft cannot be stored", async () => {
  const store = new DraftStore();
  const { manager, ask, fail, stored, errors } = opened(store, [FAILS, { text: "yes", delay_ms: 10 }]);
  const id = manager.start_new();
  await fail("one");
  await manager.flush();
  expect(await stored(id)).toBe("one");
  const set_draft = store.set_draft.bind(store);
  store.set_draft = (of, draft) => (draft ? Promise.reject(new Error("no room")) : set_draft(of, draft));
  await ask("two");
  await manager.flush();
  expect([await stored(id), errors]).toEqual([undefined, ["draft"]]);
});

test("rule 17.3: a prompt without an id leaves no draft behind its turn", async () => {
  const store = new DraftStore();
  const conversation = new PlainConversation();
  const manager = new SessionManager(store, conversation);
  const id = manager.start_new();
  await manager.flush();
  const prompt = { role: "user" as const, content: [{ type: "text" as const, text: "one" }] };
  conversation.emit("prompt_send", { message: prompt });
  await manager.flush();
  expect(prompt_of((await store.load(id))?.draft)).toBe("one");
  conversation.messages.push(prompt);
  conversation.emit("message_complete", {});
  await manager.flush();
  expect(await store.load(id)).not.toHaveProperty("draft");
});

describe("rule 17.7: discard_draft()", () => {
  test("that fails leaves the draft", async () => {
    const store = new DraftStore();
    const id = await with_draft(store);
    const { manager, stored } = opened(store, []);
    await manager.load(id);
    store.fails = true;
    await expect(manager.discard_draft()).rejects.toThrow("no room");
    expect([prompt_of(manager.draft), await stored(id)]).toEqual(["two", "two"]);
    store.fails = false;
    await manager.discard_draft();
    expect([manager.draft, await stored(id)]).toEqual([undefined, undefined]);
  });

  test("is pending until it is done, and flush() waits for it", async () => {
    const store = new DraftStore();
    const id = await with_draft(store);
    const { manager } = opened(store, []);
    await manager.load(id);
    const release = store.hold();
    const discarded = manager.discard_draft();
    expect(manager.pending).toBe(1);
    setTimeout(release, 20);
    await manager.flush();
    expect([store.removed, manager.pending]).toEqual([1, 0]);
    await discarded;
  });
});

test("rule 11: delete() waits for a draft that is being written, and none is written behind it", async () => {
  const store = new DraftStore();
  const { conversation, manager } = opened(store, [{ text: "of the child", gate: new Promise(() => undefined) }]);
  const id = manager.start_new();
  const child = conversation.spawn_child();
  await manager.flush();
  const release = store.hold();
  await child.prompt("of the child");
  await vi.waitFor(() => expect(manager.pending).toBe(1));
  let is_deleted = false;
  const deleted = manager.delete(id, { forks: "cascade" }).then(() => (is_deleted = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(is_deleted).toBe(false);
  release();
  await deleted;
  expect(await store.list()).toEqual([]);
});

test.each([
  [{ draft_interval_ms: NaN }],
  [{ draft_interval_ms: -1 }],
  [{ draft_interval_ms: "1000" }],
  [{ on_conflict: "merge" }],
  [{ on_replace: null }],
])("rule 25: a manager with %o is invalid_input", (options) => {
  const open = () => new SessionManager(new InMemorySessionStore(), new PlainConversation(), options as never);
  expect(open).toThrow(expect.objectContaining({ code: "invalid_input" }) as Error);
});

test("rule 17.1: with an interval of Infinity a draft is stored at the beginning of its turn and at its end", async () => {
  const store = new DraftStore();
  const written = vi.spyOn(store, "set_draft");
  const step = { text: "in many pieces", chunks: 10, delay_ms: 2, fail_stream: new Error("cut") };
  const { conversation, manager } = opened(store, [step], { draft_interval_ms: Infinity });
  manager.start_new();
  await conversation.prompt("one").catch(() => undefined);
  await vi.waitFor(() => expect(conversation.state).toBe("idle"));
  await manager.flush();
  expect(written.mock.calls.map(([, draft]) => draft?.partial !== undefined)).toEqual([false, true]);
});

test("rule 17.6: of two resume_draft() at once the second is invalid_state", async () => {
  const store = new InMemorySessionStore();
  const id = await with_draft(store);
  const { conversation, manager } = opened(store, [{ text: "yes" }, { text: "again" }]);
  await manager.load(id);
  const reply = next_reply(conversation);
  const outcomes = await Promise.allSettled([manager.resume_draft(), manager.resume_draft()]);
  await reply;
  await manager.flush();
  expect(outcomes[0].status).toBe("fulfilled");
  expect(outcomes[1]).toMatchObject({ reason: { name: "SessionError", code: "invalid_state" } });
  expect((await store.load(id))?.messages).toHaveLength(4);
});
