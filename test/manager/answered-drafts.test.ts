import type { AssistantMessage, Message } from "@simulacra-ai/core";
import type { SessionDraft, SessionManager, SessionStore } from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { each_backend, offers, type Backend } from "../backends.js";
import { ask } from "../core/helpers.js";
import { assistant, user } from "../support/messages.js";
import { open_backend, open_plain, open_session, record_of } from "../support/open-session.js";

/** Opens a session with one complete turn and one that was cancelled in the middle of its answer. */
async function open_cancelled(backend: Backend) {
  const { store } = await open_backend(backend);
  const steps = [{ text: "yes" }, { text: "half of it", chunks: 2, gate: new Promise<void>(() => undefined) }];
  const script = [...steps, { text: "later" }];
  const opened = open_session(store, { script, draft_interval_ms: 0 });
  const { manager, conversation } = opened;
  const id = manager.start_new();
  await ask(conversation, "one");
  await conversation.prompt("two");
  await vi.waitFor(() => expect(manager.draft?.partial).toBeDefined());
  conversation.cancel_response();
  await vi.waitFor(() => expect(conversation.state).toBe("idle"));
  return { store, id, draft: manager.draft!, ...opened };
}

/** Makes a complete turn of a draft, as an application does that wants to keep the draft. */
function turn_of({ prompt, partial }: SessionDraft): Message[] {
  const answer: AssistantMessage = { role: "assistant", content: [], ...partial };
  return [prompt, answer];
}

async function expect_no_draft(manager: SessionManager, store: SessionStore, id: string): Promise<void> {
  expect(manager.draft).toBeUndefined();
  await expect(manager.resume_draft()).rejects.toMatchObject({ code: "invalid_state" });
  await manager.flush();
  expect(manager.draft).toBeUndefined();
  expect(await record_of(store, id)).not.toHaveProperty("draft");
}

each_backend((backend) => {
  test("rule 17.5: a draft that the application put into the conversation itself is none any more", async () => {
    const { store, id, manager, conversation, draft, errors } = await open_cancelled(backend);
    const messages = [...conversation.messages, ...turn_of(draft)];
    conversation.load(messages);
    expect(manager.draft).toBeUndefined();
    await expect(manager.resume_draft()).rejects.toMatchObject({ code: "invalid_state" });
    await manager.save();
    await expect_no_draft(manager, store, id);
    expect((await record_of(store, id)).messages).toEqual(messages);
    expect(errors).toEqual([]);
  });

  test("rule 17.5: the same with a copy of the draft that went through JSON", async () => {
    const { store, id, manager, conversation, draft } = await open_cancelled(backend);
    const copy = JSON.parse(JSON.stringify(turn_of(draft))) as Message[];
    conversation.load([...conversation.messages, ...copy]);
    await manager.save();
    await expect_no_draft(manager, store, id);
  });

  test("rule 17.5: the same with the prompt alone", async () => {
    const { store, id, manager, conversation, draft } = await open_cancelled(backend);
    conversation.load([...conversation.messages, draft.prompt]);
    await manager.save();
    await expect_no_draft(manager, store, id);
  });

  test("rule 17.5: the same where another turn follows, and nothing is saved by hand", async () => {
    const { store, id, manager, conversation, draft } = await open_cancelled(backend);
    conversation.load([...conversation.messages, ...turn_of(draft)]);
    await ask(conversation, "three");
    await expect_no_draft(manager, store, id);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 17: a draft that the conversation held does not come back when its turn is cut away", async () => {
    const { store, id, manager, conversation, draft } = await open_cancelled(backend);
    const { messages } = conversation;
    conversation.load([...messages, ...turn_of(draft)]);
    await manager.save();
    conversation.load([...messages]);
    await expect_no_draft(manager, store, id);
  });

  test("rule 17: a draft without an id that the application put into the conversation is removed", async () => {
    const { store } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    conversation.emit("prompt_send", { message: user("two") });
    conversation.emit("request_error");
    await vi.waitFor(async () => expect(await store.load(id)).toHaveProperty("draft"));
    conversation.messages.push(user("two"), assistant("half of it"));
    await manager.save();
    await expect_no_draft(manager, store, id);
  });

  test("rule 17.5: no draft is handed over with a session that holds its prompt", async () => {
    const { store, id, manager, conversation, draft } = await open_cancelled(backend);
    conversation.load([...conversation.messages, ...turn_of(draft)]);
    await manager.save();
    await manager.load(id);
    await expect_no_draft(manager, store, id);
    expect(conversation.messages).toHaveLength(4);
  });

  describe("where the application takes a loaded session's draft", () => {
    test("rule 17.5: it is none any more in the manager that handed it over", async () => {
      const { store, id, manager: first } = await open_cancelled(backend);
      await first.flush();
      first[Symbol.dispose]();
      const { manager, conversation } = open_session(store);
      await manager.load(id);
      const draft = manager.draft!;
      expect(draft.prompt.content).toMatchObject([{ text: "two" }]);
      conversation.load([...conversation.messages, ...turn_of(draft)]);
      expect(manager.draft).toBeUndefined();
      await manager.save();
      await expect_no_draft(manager, store, id);
    });
  });
}, offers("append"));
