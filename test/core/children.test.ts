import {
  Conversation,
  deferred,
  StreamingProvider,
  type ModelRequest,
  type Script,
  type ScriptedStep,
} from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { ask, log_of, round } from "./helpers.js";

describe("children", () => {
  const parent_of = () => new Conversation(new StreamingProvider(() => ({ text: "answer" })));

  test("are told of synchronously, with all they begin with", async () => {
    const parent = parent_of();
    await ask(parent);
    parent.system = "parent's";
    parent.checkpoint_state = { message_id: "m", summary: "s" };
    const seen: unknown[] = [];
    parent.on("create_child", (child, conversation) => {
      expect(conversation).toBe(parent);
      seen.push([child.id, child.system, child.is_checkpoint, child.checkpoint_state, child.toolkit, child.messages]);
    });
    const fork = parent.spawn_child(true, "fork", "own", true);
    expect(seen).toEqual([["fork", "own", true, undefined, [], parent.messages]]);
    expect(fork.messages[0]?.content).toBe(parent.messages[0]?.content);
    const fresh = parent.spawn_child();
    expect([fresh.messages, fresh.system, fresh.is_checkpoint]).toEqual([[], undefined, false]);
    expect(seen).toHaveLength(2);
  });

  test("forward their events, grandchildren's too, and outlive their parent", async () => {
    const parent = parent_of();
    const forwarded: unknown[] = [];
    parent.on("child_event", ({ event_name, event_args }, conversation) => {
      expect(conversation).toBe(parent);
      forwarded.push([event_name, event_args.length]);
    });
    const child = parent.spawn_child();
    await ask(child);
    expect(forwarded).toContainEqual(["message_complete", 2]);
    expect(forwarded).toContainEqual(["request_success", 3]);
    forwarded.length = 0;
    child.spawn_child()[Symbol.dispose]();
    expect(forwarded).toEqual([
      ["create_child", 2],
      ["child_event", 2],
      ["child_event", 2],
    ]);
    forwarded.length = 0;
    parent[Symbol.dispose]();
    await ask(child);
    expect([child.messages.length, forwarded]).toEqual([4, []]);
  });
});

describe("a checkpoint", () => {
  const parent_of = (script: Script) => new Conversation(new StreamingProvider(script));

  test("is written by a child, in order, and leaves the messages alone", async () => {
    const parent = parent_of([{}, { text: "the summary" }]);
    await ask(parent);
    const messages = parent.messages;
    const log = log_of(parent);
    const children: Conversation[] = [];
    parent.on("create_child", (child) => {
      expect(child.is_checkpoint).toBe(true);
      children.push(child);
    });
    parent.on("checkpoint_begin", (child) => expect([child, child.messages]).toEqual([children[0], []]));
    parent.on("checkpoint_complete", (state) => {
      expect(parent.checkpoint_state).toEqual(state);
      expect(children[0]?.state).toBe("idle");
    });
    await parent.checkpoint();
    expect(parent.checkpoint_state).toEqual({ message_id: messages[1]?.id, summary: "the summary" });
    expect(log).toEqual(["create_child idle 2", "checkpoint_begin idle 2", "checkpoint_complete idle 2"]);
    expect(children.map(({ state, messages: own }) => [state, own.length])).toEqual([["disposed", 4]]);
    expect(parent.messages).toEqual(messages);
  });

  test("takes the last message at its end as its boundary", async () => {
    const summary = deferred<ScriptedStep>();
    const steps = [{}, summary.promise, { text: "meanwhile" }];
    const parent = parent_of(() => steps.shift() ?? {});
    await ask(parent);
    const written = parent.checkpoint();
    await round();
    expect(parent.state).toBe("idle");
    await ask(parent, "more");
    summary.resolve({ text: "late summary" });
    await written;
    expect(parent.checkpoint_state).toEqual({ message_id: parent.messages[3]?.id, summary: "late summary" });
  });

  test("shows the child only what is new, with what was known", async () => {
    const requests: ModelRequest[] = [];
    const parent = parent_of((request) => ({ text: `reply ${requests.push(request)}` }));
    await ask(parent);
    await parent.checkpoint();
    await ask(parent, "news");
    await parent.checkpoint({ system: "summarize" });
    expect(requests[3]).toMatchObject({
      system: "summarize",
      messages: [...parent.messages.slice(2), { content: [{ text: expect.stringContaining("reply 2") as string }] }],
    });
  });

  test.each<[string, ScriptedStep[]]>([
    ["the summary is empty", [{ text: " " }]],
    ["down", [{ fail_request: new Error("down") }]],
    ["the request failed", [{ fail_stream: "broken" }]],
  ])("rejects: %s", async (message, steps) => {
    const parent = parent_of([{}, ...steps]);
    await expect(parent.checkpoint()).rejects.toThrow("nothing new");
    await ask(parent);
    const children: Conversation[] = [];
    parent.on("create_child", (child) => children.push(child));
    const log = log_of(parent);
    await expect(parent.checkpoint()).rejects.toThrow(message);
    expect(children.map(({ state }) => state)).toEqual(["disposed"]);
    expect([parent.checkpoint_state, log]).toEqual([undefined, ["create_child idle 2", "checkpoint_begin idle 2"]]);
  });

  test("rejects where nothing is new since the last one", async () => {
    const parent = parent_of(() => ({ text: "text" }));
    await ask(parent);
    await parent.checkpoint();
    await expect(parent.checkpoint()).rejects.toThrow("nothing new");
  });
});
