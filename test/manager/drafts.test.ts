import { Conversation, next_reply, StreamingProvider, type ScriptedStep } from "@simulacra-ai/core";
import {
  InMemorySessionStore,
  SessionManager,
  type SessionDraft,
  type SessionManagerOptions,
} from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { each_backend, offers, type Backend } from "../backends.js";
import { open_backend } from "../support/open-session.js";

const INTERVAL_MS = 30;

function never(): Promise<void> {
  return new Promise(() => undefined);
}

function prompt_of(draft: SessionDraft | undefined): string | undefined {
  const [first] = draft?.prompt.content ?? [];
  return first?.type === "text" ? first.text : undefined;
}

function partial_of(draft: SessionDraft | undefined): string | undefined {
  const [first] = draft?.partial?.content ?? [];
  return first?.type === "text" ? first.text : undefined;
}

async function opened(backend: Backend, steps: ScriptedStep[], options: SessionManagerOptions = {}) {
  const { store, reopen } = await open_backend(backend);
  const conversation = new Conversation(new StreamingProvider(steps));
  const manager = new SessionManager(store, conversation, { draft_interval_ms: INTERVAL_MS, ...options });
  onTestFinished(async () => {
    manager[Symbol.dispose]();
    await manager.flush().catch((error: unknown) => expect(error).toBeInstanceOf(Error));
  });
  const id = manager.start_new();
  const stored = async () => (await ((await reopen?.()) ?? store).load(id))?.draft;
  return { store, conversation, manager, id, stored };
}

each_backend((backend) => {
  test("rule 17.1: the prompt is stored before there is an answer, the answer as far as it has come", async () => {
    const text = "an answer that comes in pieces";
    const { conversation, manager, stored } = await opened(backend, [{ text, chunks: 3, gate: never() }]);
    await conversation.prompt("what was typed");
    await vi.waitFor(async () => expect(prompt_of(await stored())).toBe("what was typed"));
    await vi.waitFor(async () => expect(partial_of(await stored())).toBe(text));
    expect(manager.draft).toEqual(await stored());
    expect(conversation.messages).toEqual([]);
  });

  test("rule 17.3: a completed turn has no draft", async () => {
    const { conversation, manager, stored } = await opened(backend, [
      { text: "yes", chunks: 2, delay_ms: 2 * INTERVAL_MS },
    ]);
    await Promise.all([next_reply(conversation), conversation.prompt("one")]);
    expect(manager.draft).toBeUndefined();
    await manager.flush();
    expect(await stored()).toBeUndefined();
  });

  test.each([
    ["a failed request", { fail_request: new Error("no network") }],
    ["a failed stream", { text: "as far as this", fail_stream: new Error("cut") }],
  ])("rule 17.4: %s leaves the draft until the next prompt", async (_, step) => {
    const { conversation, manager, stored } = await opened(backend, [step, { text: "yes" }]);
    await conversation.prompt("one").catch(() => undefined);
    await vi.waitFor(() => expect(conversation.state).toBe("idle"));
    await manager.flush();
    expect([prompt_of(manager.draft), prompt_of(await stored())]).toEqual(["one", "one"]);
    await Promise.all([next_reply(conversation), conversation.prompt("two")]);
    await manager.flush();
    expect([manager.draft, await stored()]).toEqual([undefined, undefined]);
  });

  test("rule 17.4: a cancelled turn leaves what had come of the answer", async () => {
    const { conversation, manager, stored } = await opened(
      backend,
      [{ text: "half of it", chunks: 2, gate: never() }],
      { draft_interval_ms: 60_000 },
    );
    await conversation.prompt("one");
    await vi.waitFor(() => expect(partial_of(manager.draft)).toBe("half of it"));
    conversation.cancel_response();
    await vi.waitFor(() => expect(conversation.state).toBe("idle"));
    await vi.waitFor(async () => expect(partial_of(await stored())).toBe("half of it"));
    expect(prompt_of(await stored())).toBe("one");
  });

  test("rules 17.5 and 17.6: load hands the draft over, and resume_draft sends its prompt again", async () => {
    const { store, conversation, manager, id } = await opened(backend, [{ text: "lost", gate: never() }]);
    await conversation.prompt("one");
    await manager.flush();
    manager[Symbol.dispose]();

    const next = new Conversation(new StreamingProvider([{ text: "answered" }]));
    const resumed = new SessionManager(store, next);
    const drafts: unknown[] = [];
    resumed.on("load", ({ draft }) => drafts.push(prompt_of(draft)));
    await resumed.load(id);
    expect([drafts, prompt_of(resumed.draft)]).toEqual([["one"], "one"]);
    const [, sent] = await Promise.all([next_reply(next), resumed.resume_draft()]);
    expect(sent?.message.content).toMatchObject([{ type: "text", text: "one" }]);
    await resumed.flush();
    expect(resumed.draft).toBeUndefined();
    expect(await store.load(id)).not.toHaveProperty("draft");
    expect(next.messages).toHaveLength(2);
    await expect(resumed.resume_draft()).rejects.toMatchObject({ code: "invalid_state" });
  });

  test("rule 17.7: discard_draft drops it", async () => {
    const { conversation, manager, stored } = await opened(backend, [{ fail_request: new Error("no") }]);
    await conversation.prompt("one").catch(() => undefined);
    await manager.flush();
    expect(prompt_of(await stored())).toBe("one");
    await manager.discard_draft();
    expect([manager.draft, await stored()]).toEqual([undefined, undefined]);
  });

  test("rule 18: children have drafts, checkpoints have none", async () => {
    const { store, conversation, manager, id } = await opened(backend, [
      { text: "one" },
      { gate: never() },
      { gate: never() },
    ]);
    await Promise.all([next_reply(conversation), conversation.prompt("begin")]);
    const child = conversation.spawn_child();
    await child.prompt("of the child");
    void conversation.checkpoint().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 2 * INTERVAL_MS));
    await manager.flush();
    const entries = await manager.list({ parent_id: id });
    const drafts = await Promise.all(
      entries.map(async (entry) => [entry.kind, prompt_of((await store.load(entry.id))?.draft)]),
    );
    expect(Object.fromEntries(drafts)).toEqual({ child: "of the child", checkpoint: undefined });
  });

  test.each<SessionManagerOptions>([{ drafts: false }, { auto_save: false }])(
    "rule 17.8: %o keeps none",
    async (options) => {
      const { conversation, manager, stored } = await opened(backend, [{ fail_request: new Error("no") }], options);
      await manager.save();
      await conversation.prompt("one").catch(() => undefined);
      await manager.flush();
      expect([manager.draft, await stored()]).toEqual([undefined, undefined]);
    },
  );
}, offers("append"));

describe("with a store of its own", () => {
  class CountingStore extends InMemorySessionStore {
    readonly written: string[] = [];
    override async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
      this.written.push(draft ? `${prompt_of(draft)}: ${partial_of(draft) ?? ""}` : "none");
      await super.set_draft(id, draft);
    }
    override async save(...args: Parameters<InMemorySessionStore["save"]>): Promise<void> {
      await super.save(...args);
    }
  }

  test("rule 17.1: the answer is refreshed at most once an interval", async () => {
    const store = new CountingStore();
    const conversation = new Conversation(new StreamingProvider([{ text: "x".repeat(40), chunks: 40, delay_ms: 5 }]));
    await using manager = new SessionManager(store, conversation, { draft_interval_ms: 100 });
    manager.start_new();
    const began = performance.now();
    await Promise.all([next_reply(conversation), conversation.prompt("one")]);
    const elapsed = performance.now() - began;
    expect(store.written.length).toBeGreaterThan(1);
    expect(store.written.length).toBeLessThanOrEqual(Math.ceil(elapsed / 100) + 1);
  });

  test("rule 17.3: a turn that has ended before its draft is written leaves none", async () => {
    const store = new CountingStore();
    const conversation = new Conversation(new StreamingProvider([{ text: "quick" }]));
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const replace = store.replace.bind(store);
    store.replace = async (...args) => {
      await held;
      return replace(...args);
    };
    const manager = new SessionManager(store, conversation);
    manager.start_new();
    await Promise.all([next_reply(conversation), conversation.prompt("one")]);
    release();
    await manager.flush();
    expect(store.written).toEqual([]);
  });

  test("rule 17.2: a draft that cannot be stored is reported, and costs nothing else", async () => {
    class FailingStore extends CountingStore {
      override async set_draft(): Promise<void> {
        throw new Error("no room");
      }
    }
    const store = new FailingStore();
    const conversation = new Conversation(new StreamingProvider([{ text: "yes" }]));
    const manager = new SessionManager(store, conversation);
    const errors: unknown[] = [];
    manager.on("lifecycle_error", ({ operation }) => errors.push(operation));
    const id = manager.start_new();
    await manager.flush();
    await Promise.all([next_reply(conversation), conversation.prompt("one")]);
    await manager.flush();
    expect(errors).toEqual(["draft"]);
    expect((await store.load(id))?.messages).toHaveLength(2);
  });

  test("rule 17.3: a failed turn's draft does not outlive a later turn that completes before its own is written", async () => {
    class SlowStore extends CountingStore {
      override async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 50));
        await super.set_draft(id, draft);
      }
      override async save(...args: Parameters<InMemorySessionStore["save"]>): Promise<void> {
        await super.save(...args);
      }
    }
    const store = new SlowStore();
    const conversation = new Conversation(new StreamingProvider([{ fail_request: new Error("no") }, { text: "yes" }]));
    const manager = new SessionManager(store, conversation);
    const id = manager.start_new();
    await manager.flush();
    await conversation.prompt("one").catch(() => undefined);
    await vi.waitFor(() => expect(conversation.state).toBe("idle"));
    await Promise.all([next_reply(conversation), conversation.prompt("two")]);
    await manager.flush();
    expect([(await store.load(id))?.draft, manager.draft]).toEqual([undefined, undefined]);
  });

  test.each([
    ["in the middle of a stream", { text: "half of it", gate: never() }],
    ["behind a failed stream", { text: "half of it", chunks: 2, delay_ms: 5, fail_stream: new Error("cut") }],
  ])("rule 17.2: flush() %s stores what has come of the answer", async (_, step) => {
    const store = new CountingStore();
    const conversation = new Conversation(new StreamingProvider([step]));
    const manager = new SessionManager(store, conversation);
    const id = manager.start_new();
    void conversation.prompt("one").catch(() => undefined);
    await vi.waitFor(() => expect(partial_of(manager.draft)).toMatch(/half/));
    await manager.flush();
    expect((await store.load(id))?.draft?.partial).toEqual(manager.draft?.partial);
  });
});

/** A store whose drafts, or whose appends, take as long as the test says. */
class HeldStore extends InMemorySessionStore {
  hold_drafts: Promise<void> = Promise.resolve();

  override async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    await this.hold_drafts;
    await super.set_draft(id, draft);
  }
}

/** A manager, and another writer whose message stands where the manager's next turn would go. */
async function rivals(store: InMemorySessionStore, steps: ScriptedStep[]) {
  const conversation = new Conversation(new StreamingProvider(steps));
  const manager = new SessionManager(store, conversation);
  const id = manager.start_new();
  await manager.flush();
  const { revision } = (await store.load(id)) ?? {};
  await store.append(id, [{ id: "theirs", role: "user", content: [], timestamp: 1 } as never], {
    revision: revision ?? "",
  });
  const draft_of = async (of: string | undefined) => prompt_of((await store.load(of ?? ""))?.draft);
  return { conversation, manager, id, draft_of };
}

describe("rule 17.4: through a conflict", () => {
  test("a turn that is stored in the fork leaves no draft in the session, however slow that was", async () => {
    const store = new HeldStore();
    const { conversation, manager, id, draft_of } = await rivals(store, [{ text: "yes" }]);
    let release = () => undefined as void;
    store.hold_drafts = new Promise((resolve) => (release = resolve));
    const conflict = new Promise((resolve) => manager.on("conflict", resolve));
    await Promise.all([next_reply(conversation), conversation.prompt("one"), conflict]);
    release();
    await manager.flush();
    expect(manager.current_session_id).not.toBe(id);
    expect([await draft_of(id), await draft_of(manager.current_session_id)]).toEqual([undefined, undefined]);
  });

  test("a failed turn's draft goes on in the fork", async () => {
    const store = new InMemorySessionStore();
    const { conversation, manager, id, draft_of } = await rivals(store, [{ fail_request: new Error("no network") }]);
    await conversation.prompt("one").catch(() => undefined);
    await vi.waitFor(async () => expect(await draft_of(id)).toBe("one"));
    conversation.load([{ id: "ours", role: "user", content: [], timestamp: 1 } as never]);
    await manager.save();
    await manager.flush();
    expect(manager.current_session_id).not.toBe(id);
    expect([await draft_of(id), await draft_of(manager.current_session_id)]).toEqual([undefined, "one"]);
    expect(prompt_of(manager.draft)).toBe("one");
  });

  test("another writer's draft stays", async () => {
    const store = new InMemorySessionStore();
    const { conversation, manager, id, draft_of } = await rivals(store, [{ text: "yes" }]);
    manager.on("conflict", () => {
      const prompt = { id: "their prompt", role: "user", content: [{ type: "text", text: "theirs" }], timestamp: 1 };
      void store.set_draft(id, { prompt: prompt as never, updated_at: new Date().toISOString() });
    });
    await Promise.all([next_reply(conversation), conversation.prompt("one")]);
    await manager.flush();
    expect([await draft_of(id), await draft_of(manager.current_session_id)]).toEqual(["theirs", undefined]);
  });
});

test("rule 17.3: a turn that goes on in another session leaves no draft in the one that it began in", async () => {
  const store = new InMemorySessionStore();
  const conversation = new Conversation(new StreamingProvider([{ text: "yes", chunks: 2, delay_ms: INTERVAL_MS }]));
  const manager = new SessionManager(store, conversation);
  const first = manager.start_new();
  const reply = next_reply(conversation);
  await conversation.prompt("one");
  await vi.waitFor(async () => expect((await store.load(first))?.draft).toBeDefined());
  const second = await manager.fork(first, { detached: true });
  await reply;
  await manager.flush();
  expect((await store.load(first))?.draft).toBeUndefined();
  expect((await store.load(second))?.messages).toHaveLength(2);
});
