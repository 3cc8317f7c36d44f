import {
  Conversation,
  deferred,
  EVENT_NAMES,
  next_reply,
  type ModelRequest,
  type Script,
  type ScriptedProvider,
  type ScriptedStep,
} from "@simulacra-ai/core";
import { describe, expect, test, vi } from "vitest";
import { ask, log_of, round, PROVIDERS } from "./helpers.js";

/** A turn that has streamed all it has and waits at its gate. */
async function held(make: (script: Script) => ScriptedProvider, step: ScriptedStep = {}) {
  const gate = deferred();
  const conversation = new Conversation(make([{ ...step, gate: gate.promise }, { text: "next" }]));
  const streamed = new Promise<void>((resolve) => conversation.once("content_complete", () => resolve()));
  const sent = conversation.prompt("held");
  await streamed;
  return { conversation, gate, sent };
}

describe.each(PROVIDERS)("a turn with %s", (name, provider_class) => {
  const make = (script: Script) => new provider_class(script);
  const is_awaiting = name === "AwaitingProvider";

  test("passes its states and events in order", async () => {
    const conversation = new Conversation(make([{ text: "hi" }]));
    const log = log_of(conversation);
    await ask(conversation);
    await round();
    const stream = [
      "content_start streaming_response 0",
      "content_update streaming_response 0",
      "message_update streaming_response 0",
      "content_complete streaming_response 0",
    ];
    const end = ["state_change idle 0", "message_complete idle 2"];
    const success = is_awaiting ? "request_success idle 2" : "request_success streaming_response 0";
    expect(log).toEqual([
      "before_request idle 0",
      "raw_request idle 0",
      "prompt_send idle 0",
      "state_change awaiting_response 0",
      "state_change streaming_response 0",
      "message_start streaming_response 0",
      ...(is_awaiting ? [...stream, ...end, success] : [success, ...stream, ...end]),
    ]);
  });

  test("resolves send_message when execute_request returns", async () => {
    const conversation = new Conversation(make([{ text: "hi" }]));
    const prompts: unknown[] = [];
    const completions: unknown[] = [];
    conversation.on("prompt_send", ({ message }) => prompts.push(message));
    conversation.on("message_complete", (event) => completions.push(event));
    const replied = next_reply(conversation);
    const result = await conversation.prompt("hello");
    expect(completions).toHaveLength(is_awaiting ? 1 : 0);
    const message = await replied;
    expect(result?.message).toEqual(conversation.messages[0]);
    expect(prompts).toEqual([conversation.messages[0]]);
    expect(message).toEqual(conversation.messages[1]);
    const request_id = is_awaiting ? undefined : result?.request_id;
    expect(completions).toStrictEqual([{ request_id, message, usage: {}, stop_reason: "end_turn" }]);
  });

  test("tells its request id only after execute_request has returned", async () => {
    const conversation = new Conversation(make([{}, { fail_request: "refused" }, { fail_stream: "broken" }]));
    const told: unknown[] = [];
    conversation.on("request_success", ({ request_id }) => told.push(["request_success", request_id]));
    conversation.on("message_complete", ({ request_id }) => told.push(["message_complete", request_id]));
    conversation.on("request_error", ({ request_id, error }) => told.push([error, request_id]));
    const ids: (string | undefined)[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const [, result] = await Promise.allSettled([next_reply(conversation), conversation.prompt("hello")]);
      ids.push(result.status === "fulfilled" ? result.value?.request_id : "rejected");
    }
    const [answered, refused, broken] = ids;
    expect(ids).toEqual(Array(3).fill(expect.stringMatching(/^[0-9a-f-]{36}$/)));
    expect(new Set([answered, refused, broken]).size).toBe(3);
    expect(told).toEqual(
      is_awaiting
        ? [
            ["message_complete", undefined],
            ["request_success", answered],
            ["refused", undefined],
            ["broken", undefined],
            ["request_success", broken],
          ]
        : [
            ["request_success", answered],
            ["message_complete", answered],
            ["refused", undefined],
            ["request_success", broken],
            ["broken", broken],
          ],
    );
  });

  test("tells the scripted id, usage and stop reason", async () => {
    const content = [{ type: "text" as const, text: "x", id: "c", timestamp: 5 }];
    const usage = { input_tokens: 3 };
    const step = { content, id: "m", timestamp: 7, usage, stop_reason: "max", stop_details: 1 };
    const conversation = new Conversation(make([step]));
    const completions: unknown[] = [];
    conversation.on("message_complete", (event) => completions.push(event));
    const message = await ask(conversation);
    expect(message).toEqual({ id: "m", timestamp: 7, role: "assistant", content });
    const request_id = is_awaiting ? undefined : (expect.any(String) as string);
    expect(completions).toStrictEqual([{ request_id, message, usage, stop_reason: "max", stop_details: 1 }]);
  });

  test("gives every listener its arguments, the conversation last", async () => {
    const conversation = new Conversation(make([{ usage: { input_tokens: 1 } }]));
    const calls: Record<string, unknown[]> = {};
    for (const name of EVENT_NAMES) conversation.on(name, (...args: unknown[]) => (calls[name] ??= args));
    const reply = await ask(conversation);
    await round();
    const [prompt] = conversation.messages;
    const usage = { input_tokens: 1 };
    const content = { type: "text", text: "ok" };
    const empty = { message: { role: "assistant", content: [] }, usage };
    const full = { message: { role: "assistant", content: [content] }, usage };
    const data: unknown = expect.anything();
    const request_id: unknown = expect.any(String);
    expect(calls).toEqual({
      before_request: [{ data }, conversation],
      raw_request: [{ data }, conversation],
      raw_response: [{ data }, conversation],
      raw_stream: [{ data }, conversation],
      prompt_send: [{ message: prompt }, conversation],
      state_change: [{ current: "awaiting_response", previous: "idle" }, conversation],
      request_success: [{ request_id, message: prompt }, {}, conversation],
      message_start: [empty, conversation],
      content_start: [{ content, ...full }, conversation],
      content_update: [{ content, ...full }, conversation],
      message_update: [full, conversation],
      content_complete: [{ content, ...full }, conversation],
      message_complete: [
        { request_id: is_awaiting ? undefined : request_id, message: reply, usage, stop_reason: "end_turn" },
        conversation,
      ],
    });
  });

  test("streams contents in chunks", async () => {
    const content = [
      { type: "thinking" as const, thought: "abcd" },
      { type: "text" as const, text: "efgh" },
    ];
    const conversation = new Conversation(make([{ content, chunks: 2, delay_ms: 1 }]));
    const partial: string[] = [];
    conversation.on("message_update", ({ message }) =>
      partial.push(
        JSON.stringify(
          message.content?.map((item) => ("thought" in item ? item.thought : "text" in item && item.text)),
        ),
      ),
    );
    await ask(conversation);
    expect(partial).toEqual(['["ab"]', '["abcd"]', '["abcd","ef"]', '["abcd","efgh"]']);
  });

  test("is not in messages while it is held", async () => {
    const { conversation, gate, sent } = await held(make);
    expect([conversation.state, conversation.messages.length]).toEqual(["streaming_response", 0]);
    await expect(conversation.prompt("again")).rejects.toThrow("invalid state");
    expect(() => conversation.clear()).toThrow("invalid state");
    expect(() => conversation.load([])).toThrow("invalid state");
    const replied = next_reply(conversation);
    gate.resolve();
    await Promise.all([replied, sent]);
    expect(conversation.messages).toHaveLength(2);
  });

  test("waits in awaiting_response for a script that answers late", async () => {
    const step = deferred<ScriptedStep>();
    const conversation = new Conversation(make(() => step.promise));
    const replied = ask(conversation);
    await round();
    expect(conversation.state).toBe("awaiting_response");
    step.resolve({ text: "late" });
    expect((await replied).content).toMatchObject([{ text: "late" }]);
  });

  test("cancelled while it streams goes through stopping to idle and stores nothing", async () => {
    const { conversation, sent } = await held(make);
    const log = log_of(conversation);
    conversation.cancel_response();
    expect(conversation.state).toBe("stopping");
    conversation.cancel_response();
    await expect(sent).resolves.toMatchObject({ message: { role: "user" }, request_id: expect.any(String) as string });
    await round();
    expect(log).toEqual(["state_change stopping 0", "state_change idle 0"]);
    await ask(conversation);
    expect(conversation.messages).toHaveLength(2);
  });

  test("cancelled before its stream stores nothing and resolves", async () => {
    const conversation = new Conversation(make(() => new Promise<ScriptedStep>(() => {})));
    const sent = conversation.prompt("hello");
    await round();
    const log = log_of(conversation);
    conversation.cancel_response();
    await expect(sent).resolves.toBeDefined();
    expect(log).toEqual(["state_change stopping 0", "state_change idle 0"]);
  });

  test("whose request fails tells so before idle", async () => {
    const error = new Error("refused");
    const conversation = new Conversation(make([{ fail_request: error }]));
    const log = log_of(conversation);
    const events: unknown[][] = [];
    conversation.on("request_error", (...args) => events.push(args));
    const result = await conversation.prompt("hello");
    await round();
    expect(log.slice(2)).toEqual([
      "prompt_send idle 0",
      "state_change awaiting_response 0",
      "request_error awaiting_response 0",
      "state_change idle 0",
    ]);
    expect(result).toMatchObject({ message: { role: "user" }, request_id: expect.any(String) as string });
    expect(events).toStrictEqual([[{ request_id: undefined, message: result?.message, error }, {}, conversation]]);
  });

  test.each([[undefined], [[]]])("whose stream fails tells so after idle, with content %j", async (content) => {
    const step = { fail_stream: "broken", ...(content && { content }) };
    const conversation = new Conversation(make([step]));
    const log = log_of(conversation);
    const failed = next_reply(conversation);
    const sent = conversation.prompt("hello");
    await Promise.all([expect(failed).rejects.toThrow("the request failed"), expect(sent).resolves.toBeDefined()]);
    await round();
    const end = ["state_change idle 0", "request_error idle 0"];
    expect(log.slice(is_awaiting ? -3 : -2)).toEqual([...end, ...(is_awaiting ? ["request_success idle 0"] : [])]);
    expect(log.filter((line) => line.startsWith("request_success"))).toHaveLength(1);
  });

  test("becomes request_error where a message_complete listener throws", async () => {
    const conversation = new Conversation(make([{}, {}]));
    const later = vi.fn();
    conversation.once("message_complete", () => {
      throw new Error("listener");
    });
    conversation.on("message_complete", later);
    const log = log_of(conversation);
    const failed = next_reply(conversation);
    await Promise.all([expect(failed).rejects.toThrow("listener"), conversation.prompt("hello")]);
    await round();
    expect(later).not.toHaveBeenCalled();
    const end = ["state_change idle 0", "request_error idle 2"];
    expect(log.slice(is_awaiting ? -3 : -2)).toEqual([...end, ...(is_awaiting ? ["request_success idle 2"] : [])]);
    await ask(conversation);
    expect(later).toHaveBeenCalledOnce();
  });

  test("completes where a prompt_send listener throws, after request_error", async () => {
    const conversation = new Conversation(make([{ text: "still" }]));
    const error = new Error("listener");
    conversation.on("prompt_send", () => {
      throw error;
    });
    const later = vi.fn();
    conversation.on("prompt_send", later);
    const errors: unknown[][] = [];
    conversation.on("request_error", (...args) => errors.push(args));
    const log = log_of(conversation);
    const completed = new Promise((resolve) => conversation.once("message_complete", resolve));
    const [result] = await Promise.all([conversation.prompt("hello"), completed]);
    expect(result).toBeUndefined();
    expect(later).not.toHaveBeenCalled();
    expect(errors).toStrictEqual([
      [{ request_id: undefined, message: conversation.messages[0], error }, {}, conversation],
    ]);
    expect(log).toEqual([
      "before_request idle 0",
      "raw_request idle 0",
      "request_error idle 0",
      "state_change streaming_response 0",
      "message_start streaming_response 0",
      "content_start streaming_response 0",
      "content_update streaming_response 0",
      "message_update streaming_response 0",
      "content_complete streaming_response 0",
      "state_change idle 0",
      "message_complete idle 2",
    ]);
  });

  test("overlaps another one that begins in the same tick", async () => {
    const requests: ModelRequest[] = [];
    const conversation = new Conversation(make((request) => ({ text: `reply ${requests.push(request)}` })));
    const log = log_of(conversation);
    const results = await Promise.all([conversation.prompt("first"), conversation.prompt("second")]);
    await vi.waitFor(() => expect(conversation.messages).toHaveLength(4));
    expect(results).toMatchObject([{ message: { role: "user" } }, { message: { role: "user" } }]);
    expect(requests.map(({ messages }) => messages.map(({ content }) => content))).toMatchObject([
      [[{ text: "first" }]],
      [[{ text: "second" }]],
    ]);
    expect(conversation.messages.map(({ content }) => content)).toMatchObject([
      [{ text: "first" }],
      [{ text: "reply 1" }],
      [{ text: "second" }],
      [{ text: "reply 2" }],
    ]);
    const milestones = /^(prompt_send|message_start|message_complete)/;
    expect(log.filter((line) => milestones.test(line))).toEqual([
      "prompt_send idle 0",
      "prompt_send awaiting_response 0",
      "message_start streaming_response 0",
      "message_start streaming_response 0",
      "message_complete idle 2",
      "message_complete idle 4",
    ]);
    expect(conversation.state).toBe("idle");
  });

  test("is cancelled together with those that overlap it", async () => {
    const conversation = new Conversation(make(() => ({ gate: new Promise<void>(() => {}) })));
    const sent = [conversation.prompt("first"), conversation.prompt("second")];
    await vi.waitFor(() => expect(conversation.state).toBe("streaming_response"));
    const log = log_of(conversation);
    conversation.cancel_response();
    await expect(Promise.all(sent)).resolves.toMatchObject([{}, {}]);
    await round();
    expect(log).toEqual(["state_change stopping 0", "state_change idle 0"]);
  });

  test("fails where a listener throws while it streams", async () => {
    const conversation = new Conversation(make([{}]));
    conversation.on("message_update", () => {
      throw new Error("listener");
    });
    const failed = next_reply(conversation);
    await Promise.all([expect(failed).rejects.toThrow("listener"), conversation.prompt("hello")]);
    expect([conversation.state, conversation.messages.length]).toEqual(["idle", 0]);
  });

  test("is cut off by dispose", async () => {
    const { conversation, gate, sent } = await held(make);
    const log = log_of(conversation);
    conversation[Symbol.dispose]();
    const late_log = log_of(conversation);
    gate.resolve();
    await sent;
    await round();
    expect(log).toEqual(["dispose streaming_response 0", "state_change disposed 0"]);
    expect([conversation.state, conversation.messages.length, late_log]).toEqual(["disposed", 0, []]);
  });

  test("may dispose the conversation inside message_complete, and ends there", async () => {
    const conversation = new Conversation(make([{}]));
    const log = log_of(conversation);
    const late_log: string[][] = [];
    conversation.on("message_complete", () => {
      conversation[Symbol.dispose]();
      late_log.push(log_of(conversation));
    });
    await conversation.prompt("hello");
    await vi.waitFor(() => expect(conversation.state).toBe("disposed"));
    await round();
    expect(log.slice(-4)).toEqual([
      "state_change idle 0",
      "message_complete idle 2",
      "dispose idle 2",
      "state_change disposed 2",
    ]);
    expect(late_log).toEqual([[]]);
  });

  test("may begin where the one before ended, inside message_complete", async () => {
    const conversation = new Conversation(make((request) => ({ text: `${request.messages.length}` })));
    const done = deferred();
    conversation.on("message_complete", () => {
      if (conversation.messages.length === 40) done.resolve();
      else void conversation.prompt("more");
    });
    await conversation.prompt("first");
    await done.promise;
    const replies = conversation.messages.filter(({ role }) => role === "assistant").map(({ content }) => content);
    expect(replies).toMatchObject(Array.from({ length: 20 }, (_, turn) => [{ text: `${2 * turn + 1}` }]));
  });

  test("answers tool calls with the results as the next prompt", async () => {
    const call = { type: "tool" as const, tool_request_id: "t", tool: "read", params: {} };
    const conversation = new Conversation(make([{ content: [call], stop_reason: "max" }, { text: "done" }]));
    const reasons: string[] = [];
    conversation.on("message_complete", ({ stop_reason }) => reasons.push(stop_reason));
    await ask(conversation);
    const result = {
      type: "tool_result" as const,
      tool_request_id: "t",
      tool: "read",
      result: { result: true as const },
    };
    await Promise.all([next_reply(conversation), conversation.send_message([result])]);
    expect(conversation.messages.map(({ content }) => content)).toMatchObject([
      [{}],
      [call],
      [result],
      [{ text: "done" }],
    ]);
    expect(reasons).toEqual(["tool_use", "end_turn"]);
  });

  test("is answered for children from the shared script, also while the parent is busy", async () => {
    const { conversation, gate } = await held(make);
    const child = conversation.spawn_child(true);
    expect((await ask(child)).content).toMatchObject([{ text: "next" }]);
    expect(conversation.state).toBe("streaming_response");
    const replied = next_reply(conversation);
    gate.resolve();
    await replied;
  });

  test("costs little: a thousand of them", async () => {
    const conversation = new Conversation(make(() => ({})));
    for (let turn = 0; turn < 1000; turn++) await ask(conversation, `${turn}`);
    expect(conversation.messages).toHaveLength(2000);
  });
});
