import { createHash } from "node:crypto";
import {
  AwaitingProvider,
  Conversation,
  deferred,
  StreamingProvider,
  type AssistantMessage,
  type ContextTransformer,
  type Message,
  type ModelProvider,
  type ModelRequest,
} from "@simulacra-ai/core";
import { describe, expect, test, vi } from "vitest";
import { ask, log_of, Read, round } from "./helpers.js";

const NOW = 1_700_000_000_000;

const sha1_of = (value: unknown) => createHash("sha1").update(JSON.stringify(value)).digest("hex");

describe("a conversation", () => {
  const empty = () => new Conversation(new AwaitingProvider(() => ({})));

  test("has an id of its own that can be set", () => {
    const conversation = empty();
    expect(conversation.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(empty().id).not.toBe(conversation.id);
    conversation.id = "mine";
    expect(conversation.id).toBe("mine");
  });

  test("starts idle, without messages", () => {
    const conversation = empty();
    expect([conversation.state, conversation.messages, conversation.is_checkpoint]).toEqual(["idle", [], false]);
    expect([conversation.system, conversation.toolkit, conversation.checkpoint_state]).toEqual([
      undefined,
      [],
      undefined,
    ]);
  });

  test("gives frozen shallow copies of its messages, new at each read", async () => {
    const conversation = empty();
    await ask(conversation);
    const [first, second] = [conversation.messages, conversation.messages];
    expect(first).toEqual(second);
    expect(first).not.toBe(second);
    expect(first[0]).not.toBe(second[0]);
    expect(first[0]?.content).toBe(second[0]?.content);
    expect([Object.isFrozen(first), first.every((message) => Object.isFrozen(message))]).toEqual([true, true]);
  });

  test("gives messages and contents a hash as id and a time, only where they have none", async () => {
    const conversation = empty();
    const given = { type: "text" as const, text: "a", id: "given", timestamp: 1 };
    await conversation.send_message([given, { type: "text", text: "b" }]);
    const message = conversation.messages[0];
    expect(message?.content[0]).toEqual(given);
    expect(message?.content[1]?.timestamp).toBeGreaterThan(1);
    for (const item of [message, ...(message?.content.slice(1) ?? [])]) {
      const { id, ...rest } = item ?? {};
      expect(id).toBe(sha1_of(rest));
    }
  });

  test("hashes a reply and its contents before their time is added", async () => {
    const now = vi.spyOn(Date, "now");
    try {
      const script = [{ text: "same" }, { text: "same" }, { content: [] }, { content: [] }];
      const conversation = new Conversation(new AwaitingProvider(script));
      for (let turn = 0; turn < 4; turn++) {
        now.mockReturnValue(NOW + turn);
        await ask(conversation, "same");
      }
      const messages = conversation.messages;
      const replies = messages.filter(({ role }) => role === "assistant");
      const text = { type: "text", text: "same" };
      const contents = [0, 1].map((turn) => [{ ...text, id: sha1_of(text), timestamp: NOW + turn }]);
      expect(replies.map(({ content }) => content)).toEqual([...contents, [], []]);
      expect(replies.map(({ timestamp }) => timestamp)).toEqual([0, 1, 2, 3].map((turn) => NOW + turn));
      expect(replies.map(({ id }) => id)).toEqual(replies.map(({ role, content }) => sha1_of({ role, content })));
      expect(new Set(replies.map(({ id }) => id)).size).toBe(3);
      expect(new Set(messages.filter(({ role }) => role === "user").map(({ id }) => id)).size).toBe(4);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("gives the same text in the same millisecond the same id", async () => {
    vi.spyOn(Date, "now").mockReturnValue(NOW);
    try {
      const conversation = empty();
      await ask(conversation, "same");
      await ask(conversation, "same");
      const ids = conversation.messages.map(({ id }) => id);
      expect(ids[2]).toBe(ids[0]);
      expect(ids[3]).toBe(ids[1]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("holds its checkpoint state as a frozen copy that clear and load leave alone", () => {
    const conversation = empty();
    const state = { message_id: "m", summary: "s" };
    conversation.checkpoint_state = state;
    state.summary = "changed";
    conversation.load([{ role: "user", content: [] }]);
    conversation.clear();
    expect(conversation.checkpoint_state).toEqual({ message_id: "m", summary: "s" });
    expect(Object.isFrozen(conversation.checkpoint_state)).toBe(true);
    conversation.checkpoint_state = undefined;
    expect(conversation.checkpoint_state).toBeUndefined();
  });

  test("clears and loads silently, gives loaded messages no id, and keeps no hold of the loaded array", async () => {
    const conversation = empty();
    const messages: Message[] = [{ role: "user", content: [{ type: "text", text: "a" }] }];
    const loaded = structuredClone(messages);
    conversation.load(messages);
    messages.push({ role: "user", content: [] });
    expect(conversation.messages).toStrictEqual(loaded);
    expect(conversation.messages[0]?.content).toBe(messages[0]?.content);
    await ask(conversation);
    expect(conversation.messages.slice(0, 1)).toStrictEqual(loaded);
    const log = log_of(conversation);
    conversation.load(loaded);
    conversation.clear();
    expect([conversation.messages, log]).toEqual([[], []]);
  });

  test("sends its system prompt, tools and history with the prompt", async () => {
    const requests: ModelRequest[] = [];
    const conversation = new Conversation(new AwaitingProvider((request) => ({ text: `${requests.push(request)}` })));
    await ask(conversation);
    conversation.system = "be brief";
    conversation.toolkit = [Read];
    await ask(conversation);
    expect(requests.map(({ messages, ...rest }) => [messages.length, rest])).toEqual([
      [1, { tools: [] }],
      [3, { tools: [Read.get_definition()], system: "be brief" }],
    ]);
  });

  test("does not cancel when idle or disposed", () => {
    const conversation = empty();
    expect(() => conversation.cancel_response()).toThrow("invalid state");
    conversation[Symbol.dispose]();
    expect(() => conversation.cancel_response()).toThrow("invalid state");
  });

  test("is disposed once, telling so in its old state", async () => {
    const conversation = empty();
    const log = log_of(conversation);
    conversation[Symbol.dispose]();
    expect(log).toEqual(["dispose idle 0", "state_change disposed 0"]);
    expect(() => conversation[Symbol.dispose]()).toThrow("invalid state");
    expect(() => conversation.clear()).toThrow("invalid state");
    expect(() => conversation.load([])).toThrow("invalid state");
    await expect(conversation.prompt("x")).rejects.toThrow("invalid state");
    await expect(conversation.checkpoint()).rejects.toThrow("invalid state");
    expect(log).toHaveLength(2);
  });

  test("still listens, spawns children and takes a checkpoint state when disposed, but no toolkit", () => {
    const conversation = empty();
    conversation[Symbol.dispose]();
    const children: Conversation[] = [];
    conversation.on("create_child", (child) => children.push(child));
    expect(children).toEqual([conversation.spawn_child()]);
    conversation.checkpoint_state = { message_id: "m", summary: "s" };
    expect(conversation.checkpoint_state).toEqual({ message_id: "m", summary: "s" });
    expect(() => (conversation.toolkit = [])).toThrow("invalid state");
  });

  test("disposed while a prompt is being transformed sends no request and tells of nothing", async () => {
    const waiting = deferred();
    const request = vi.fn(() => ({}));
    const conversation = new Conversation(new AwaitingProvider(request), undefined, {
      transform_prompt: (messages) => waiting.promise.then(() => messages),
    });
    const sent = conversation.prompt("hello");
    conversation[Symbol.dispose]();
    const log = log_of(conversation);
    waiting.resolve();
    await expect(sent).resolves.toMatchObject({ message: { role: "user" } });
    expect(request).not.toHaveBeenCalled();
    expect(log).toEqual([]);
  });

  test("calls listeners in the order added, once and until taken off, and returns nothing", async () => {
    const conversation = empty();
    const calls: string[] = [];
    const off = () => void calls.push("off");
    expect(conversation.on("prompt_send", () => calls.push("a"))).toBeUndefined();
    expect(conversation.once("prompt_send", () => calls.push("once"))).toBeUndefined();
    conversation.on("prompt_send", off);
    conversation.on("prompt_send", () => calls.push("b"));
    await ask(conversation);
    expect(conversation.off("prompt_send", off)).toBeUndefined();
    await ask(conversation);
    expect(calls).toEqual(["a", "once", "off", "b", "a", "b"]);
  });
});

describe("transformers and policy", () => {
  const script = () => ({ content: [{ type: "text" as const, text: "raw" }] });

  test("leave the state idle while prompts are transformed, and the messages alone", async () => {
    const waiting = deferred();
    const requests: ModelRequest[] = [];
    const transformer: ContextTransformer = {
      transform_prompt: async (messages) => {
        await waiting.promise;
        return messages.slice(-1).map((message) => ({ ...message, id: "transformed" }));
      },
    };
    const provider = new StreamingProvider((request) => {
      requests.push(request);
      return script();
    });
    const conversation = new Conversation(provider, undefined, transformer);
    const log = log_of(conversation);
    const replied = ask(conversation);
    await round();
    expect([conversation.state, log]).toEqual(["idle", []]);
    conversation.load([{ role: "user", content: [], id: "loaded" }]);
    waiting.resolve();
    await replied;
    expect(requests[0]?.messages.map(({ id }) => id)).toEqual(["transformed"]);
    expect(conversation.messages.map(({ content }) => content)).toMatchObject([
      [],
      [{ text: "hello" }],
      [{ text: "raw" }],
    ]);
  });

  test("decide the reply that is pushed, and give its contents no id", async () => {
    const waiting = deferred();
    const given: AssistantMessage[] = [];
    const transform_completion = async (message: AssistantMessage): Promise<AssistantMessage> => {
      given.push(message);
      await waiting.promise;
      return { role: "assistant", content: [...message.content, { type: "text", text: "added" }] };
    };
    const conversation = new Conversation(new StreamingProvider(script), undefined, { transform_completion });
    const shown: unknown[] = [];
    conversation.on("message_update", ({ message }) => shown.push(message.content));
    const replied = ask(conversation);
    await vi.waitFor(() => expect(given).toHaveLength(1));
    expect([conversation.state, conversation.messages.length]).toEqual(["streaming_response", 0]);
    waiting.resolve();
    const reply = await replied;
    expect(shown).toEqual([[{ type: "text", text: "raw" }]]);
    expect(given).toMatchObject([{ id: expect.any(String) as string, content: [{ text: "raw" }] }]);
    expect(reply.content).toStrictEqual([...(given[0]?.content ?? []), { type: "text", text: "added" }]);
    expect([reply.id, reply.timestamp]).toEqual([
      sha1_of({ role: "assistant", content: reply.content }),
      expect.any(Number),
    ]);
    expect(conversation.messages[1]).toStrictEqual(reply);
  });

  test("that reject give undefined, request_error and no prompt", async () => {
    const error = new Error("no");
    const transform_prompt = () => Promise.reject(error);
    const execute = () => Promise.reject(error);
    for (const conversation of [
      new Conversation(new AwaitingProvider(script), undefined, { transform_prompt }),
      new Conversation(new AwaitingProvider(script), { execute }),
    ]) {
      const log = log_of(conversation);
      expect(await conversation.prompt("hello")).toBeUndefined();
      expect(log).toEqual(["request_error idle 0"]);
    }
  });

  test("that pass on what the request threw make a failed request", async () => {
    const provider = new AwaitingProvider([{ fail_request: new Error("down") }]);
    const conversation = new Conversation(provider, { execute: (operation) => operation() });
    const log = log_of(conversation);
    expect(await conversation.prompt("hello")).toBeDefined();
    expect(log.slice(-2)).toEqual(["request_error awaiting_response 0", "state_change idle 0"]);
  });

  test("a failed transform_completion fails the stream", async () => {
    const transform_completion = () => Promise.reject(new Error("no"));
    const conversation = new Conversation(new AwaitingProvider(script), undefined, { transform_completion });
    const log = log_of(conversation);
    await conversation.prompt("hello");
    expect(log.slice(-3)).toEqual(["state_change idle 0", "request_error idle 0", "request_success idle 0"]);
  });

  test("of a provider that reports nothing but the reply, or only throws, keep the order", async () => {
    const message: AssistantMessage = { role: "assistant", content: [] };
    const bare = (run: ModelProvider["execute_request"]): ModelProvider => ({
      execute_request: run,
      clone: () => bare(run),
    });
    const end = { message, usage: {}, stop_reason: "end_turn" };
    const answered = new Conversation(bare((_request, receiver) => receiver.complete_message(end)));
    const answered_log = log_of(answered);
    await answered.prompt("hello");
    const failed = new Conversation(bare(() => Promise.reject(new Error("down"))));
    const failed_log = log_of(failed);
    await failed.prompt("hello");
    const start = ["prompt_send idle 0", "state_change awaiting_response 0"];
    expect(answered_log).toEqual([
      ...start,
      "state_change idle 0",
      "message_complete idle 2",
      "request_success idle 2",
    ]);
    expect(failed_log).toEqual([...start, "request_error awaiting_response 0", "state_change idle 0"]);
  });
});
