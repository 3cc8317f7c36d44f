import {
  Conversation,
  deferred,
  StreamingProvider,
  type EventName,
  type ModelRequest,
  type Script,
  type ScriptedStep,
} from "@simulacra-ai/core";
import { describe, expect, test, vi } from "vitest";
import { ask, log_of, Read, round } from "./helpers.js";

describe("children", () => {
  const parent_of = () => new Conversation(new StreamingProvider(() => ({ text: "answer" })));

  test("are told of synchronously, with all they begin with", async () => {
    const parent = parent_of();
    await ask(parent);
    parent.system = "parent's";
    parent.toolkit = [Read];
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

  test("are heard by their parent before any listener of their own", async () => {
    const parent = parent_of();
    const heard: string[] = [];
    parent.on("child_event", ({ event_name }) => heard.push(`parent ${event_name}`));
    parent.on("create_child", (child) => child.on("message_complete", () => heard.push("listener in create_child")));
    const child = parent.spawn_child();
    child.on("message_complete", () => heard.push("listener"));
    await ask(child);
    expect(heard.slice(-3)).toEqual(["parent message_complete", "listener in create_child", "listener"]);
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

/** Calls `act` with the next child of a conversation when the child emits an event. */
function on_child(parent: Conversation, event: EventName, act: (child: Conversation) => void): void {
  parent.once("create_child", (child) => child.once(event, () => act(child)));
}

describe("a checkpoint", () => {
  const parent_of = (script: Script) => new Conversation(new StreamingProvider(script));

  test("is written by a child, in order, and leaves the messages alone", async () => {
    const parent = parent_of([{}, { text: "the summary" }]);
    await ask(parent);
    const messages = parent.messages;
    const log = log_of(parent);
    const calls: unknown[][] = [];
    for (const name of ["create_child", "checkpoint_begin", "checkpoint_complete"] as const) {
      parent.on(name, (...args: unknown[]) => calls.push([name, ...args]));
    }
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
    expect(calls).toEqual([
      ["create_child", children[0], parent],
      ["checkpoint_begin", children[0], parent],
      ["checkpoint_complete", parent.checkpoint_state, parent],
    ]);
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

  test("rejects while the conversation is busy", async () => {
    const gate = deferred();
    const parent = parent_of([{}, { gate: gate.promise }]);
    await ask(parent);
    const replied = ask(parent);
    await round();
    const log = log_of(parent);
    await expect(parent.checkpoint()).rejects.toThrow("invalid state");
    expect(log).toEqual([]);
    gate.resolve();
    await replied;
  });

  test("rejects where the last message at its end has no id", async () => {
    const parent = parent_of(() => ({ text: "text" }));
    await ask(parent);
    const log = log_of(parent);
    const written = parent.checkpoint();
    parent.load([...parent.messages, { role: "user", content: [] }]);
    await expect(written).rejects.toThrow("has no id");
    expect([parent.checkpoint_state, log]).toEqual([undefined, ["create_child idle 2", "checkpoint_begin idle 2"]]);
  });

  test("ends also where its parent has been disposed", async () => {
    const parent = parent_of(() => ({ text: "text" }));
    const { id } = await ask(parent);
    const written = parent.checkpoint();
    parent[Symbol.dispose]();
    await expect(written).resolves.toEqual({ message_id: id, summary: "text" });
    expect(parent.checkpoint_state).toEqual({ message_id: id, summary: "text" });
  });

  test.each<[string, (parent: Conversation) => void]>([
    ["cancelled", (parent) => on_child(parent, "message_start", (child) => child.cancel_response())],
    ["disposed before it is prompted", (parent) => parent.on("checkpoint_begin", (child) => child[Symbol.dispose]())],
    ["disposed before its request", (parent) => on_child(parent, "before_request", (child) => child[Symbol.dispose]())],
    ["disposed in mid-stream", (parent) => on_child(parent, "message_update", (child) => child[Symbol.dispose]())],
    [
      "disposed inside message_complete",
      (parent) => on_child(parent, "message_complete", (child) => child[Symbol.dispose]()),
    ],
  ])("never settles where its child is %s", async (how, arrange) => {
    const parent = parent_of(() => ({ text: "text" }));
    await ask(parent);
    const children: Conversation[] = [];
    parent.on("create_child", (child) => children.push(child));
    arrange(parent);
    const log = log_of(parent);
    const settled = vi.fn();
    parent.checkpoint().then(settled, settled);
    for (let rounds = 0; rounds < 10; rounds++) await round();
    expect(settled).not.toHaveBeenCalled();
    expect(children.map(({ state }) => state)).toEqual([how === "cancelled" ? "idle" : "disposed"]);
    expect([parent.checkpoint_state, parent.state]).toEqual([undefined, "idle"]);
    expect(log).toEqual(["create_child idle 2", "checkpoint_begin idle 2"]);
  });

  test("rejects where nothing is new since the last one", async () => {
    const parent = parent_of(() => ({ text: "text" }));
    await ask(parent);
    await parent.checkpoint();
    await expect(parent.checkpoint()).rejects.toThrow("nothing new");
  });
});
