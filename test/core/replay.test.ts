import { readFileSync } from "node:fs";
import {
  AwaitingProvider,
  Conversation,
  recorded_turns,
  replay_turn,
  StreamingProvider,
  type AssistantMessage,
  type Message,
} from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { log_of, PROVIDERS } from "./helpers.js";

describe.each(PROVIDERS)("a replay with %s", (_name, provider_class) => {
  test("stores a recording exactly as recorded", async () => {
    const url = new URL("../data/coding-session.json", import.meta.url);
    const recording = JSON.parse(readFileSync(url, "utf8")) as Message[];
    const turns = recorded_turns(recording);
    const provider = new provider_class();
    const conversation = new Conversation(provider);
    const completed: AssistantMessage[] = [];
    conversation.on("message_complete", ({ message }) => completed.push(message));
    for (const turn of turns) await replay_turn(conversation, provider, turn);
    expect(recording).toHaveLength(893);
    expect(turns).toHaveLength(438);
    expect(conversation.messages).toStrictEqual(recording);
    expect(completed).toStrictEqual(turns.map(({ assistant }) => assistant.at(-1)));
  });
});

describe("recordings", () => {
  const user: Message = { role: "user", content: [] };
  const assistant: Message = { role: "assistant", content: [] };

  test("are split after each run of replies", () => {
    expect(recorded_turns([])).toEqual([]);
    expect(recorded_turns([user, user, assistant, assistant, user])).toEqual([
      { user: [user, user], assistant: [assistant, assistant] },
      { user: [user], assistant: [] },
    ]);
    expect(() => recorded_turns([assistant])).toThrow("begins with a user message");
  });

  test("store the messages of a turn together, after one prompt", async () => {
    const messages = [user, user, assistant, assistant].map((message, index) => ({
      ...message,
      id: `${index}`,
      timestamp: 1,
    }));
    const provider = new StreamingProvider();
    const conversation = new Conversation(provider);
    const log = log_of(conversation);
    const prompts: unknown[] = [];
    conversation.on("prompt_send", ({ message }) => prompts.push(message));
    const [turn] = recorded_turns(messages);
    if (turn) await replay_turn(conversation, provider, turn);
    expect(conversation.messages).toEqual(messages);
    expect(prompts).toEqual([messages[1]]);
    expect(log.filter((line) => !line.endsWith(" 0"))).toEqual(["message_complete idle 4"]);
  });

  test("have a last turn without an answer loaded", async () => {
    const provider = new AwaitingProvider();
    const conversation = new Conversation(provider);
    const log = log_of(conversation);
    await replay_turn(conversation, provider, { user: [{ role: "user", content: [] }], assistant: [] });
    expect(conversation.messages).toEqual([user]);
    expect(log).toEqual([]);
  });
});
