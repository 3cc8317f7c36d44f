import type { Message } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { judge, story_of, type Held } from "./judge.js";
import { answer_of, prompt_of } from "./turns.js";

const INTERVAL_MS = 1;
const NOTHING: Held = { turns: [], draft: undefined };
const SENT = ["session s", "completed", "sending 2", "writing 2 0 1.00", "drafted 2 0 2.00"];
const COMPLETE = [...SENT, "came 2 200 3.00", "answered 2", "completed 2"];

function text(role: Message["role"], of: string): Message {
  return { role, content: [{ type: "text", text: of }] };
}

function turn(n: number): Message[] {
  return [text("user", prompt_of(n)), text("assistant", answer_of(n))];
}

function draft(n: number, length = 0) {
  const partial = { content: [{ type: "text" as const, text: answer_of(n).slice(0, length) }] };
  return {
    prompt: { role: "user" as const, content: [{ type: "text" as const, text: prompt_of(n) }] },
    partial,
    updated_at: "",
  };
}

function losses(lines: string[], messages: Message[], stored?: ReturnType<typeof draft>, before = NOTHING): string[] {
  return judge(before, story_of(lines, INTERVAL_MS, false), messages, stored).losses;
}

describe("rule 17: of what a killed process leaves", () => {
  test.each([
    ["a draft", losses(SENT, [], draft(2))],
    ["a complete turn", losses(COMPLETE, turn(2))],
    ["a turn that was stored and not yet acknowledged", losses(SENT, turn(2))],
    ["the draft of a prompt that was not acknowledged", losses(SENT.slice(0, 3), [], draft(2))],
    ["an older draft", losses(["sending 2"], [], draft(1, 9), { turns: [], draft: { turn: 1, length: 9 } })],
  ])("%s is right", (_, found) => {
    expect(found).toEqual([]);
  });

  test.each([
    ["no draft of an acknowledged prompt", losses(SENT, [])],
    ["less of an answer than was acknowledged", losses([...SENT, "drafted 2 50 3.00"], [], draft(2, 49))],
    ["less than had come an interval ago", losses([...SENT, "came 2 50 3.00", "came 2 60 99.00"], [], draft(2))],
    ["an answer before its prompt was written", losses(["completed", "sending 2", "came 2 9 1.00"], [], draft(2, 9))],
    ["a complete turn that is gone", losses(COMPLETE, [])],
    ["a turn twice", losses(COMPLETE, [...turn(2), ...turn(2)])],
    ["half a turn", losses(COMPLETE, turn(2).slice(1))],
    ["a turn that is complete and a draft", losses(COMPLETE, turn(2), draft(2))],
    ["a draft of nobody's", losses(["completed"], [], draft(9))],
    ["a draft that is not what was sent", losses(SENT, [], { ...draft(2), prompt: draft(2.5).prompt })],
  ])("%s is a loss", (_, found) => {
    expect(found).not.toEqual([]);
  });
});
