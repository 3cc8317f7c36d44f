import { readFileSync } from "node:fs";
import { recorded_turns, type Message, type RecordedTurn } from "@simulacra-ai/core";

/** 893 messages between a person and a coding agent. */
export function real_conversation(): Message[] {
  const url = new URL("../test/data/coding-session.json", import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as Message[];
}

/** At most so many real messages, the last one an answer: the conversation, and again from its beginning. */
export function real_messages(length: number): Message[] {
  const conversation = real_conversation();
  const messages = Array.from({ length }, (_, index) => conversation[index % conversation.length] as Message);
  return messages.slice(0, messages.findLastIndex((message) => message.role === "assistant") + 1);
}

/** Real messages that follow one another, about `bytes` of them; which ones depends on `seed`. Long ones are left out. */
export function real_excerpt(conversation: readonly Message[], seed: number, bytes: number): Message[] {
  const usual = conversation.filter((message) => json_line(message).length <= bytes / 5);
  const excerpt: Message[] = [];
  for (let at = seed, held = 0; held < bytes; at += 1) {
    const message = usual[at % usual.length] as Message;
    excerpt.push(message);
    held += Buffer.byteLength(json_line(message));
  }
  return excerpt;
}

const SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. ";

/** A message whose JSON text has about 2 KB. */
export function message_of_2_kb(index: number): Message {
  const id = `message-${index}`;
  const timestamp = 1_700_000_000_000 + index;
  const text = `${index} `.padEnd(1_850, SENTENCE);
  const content = [{ type: "text" as const, text, id: `content-${index}`, timestamp }];
  return { role: index % 2 === 0 ? "user" : "assistant", content, id, timestamp };
}

/** User and assistant take turns. */
export function synthetic_conversation(length: number): Message[] {
  return Array.from({ length }, (_, index) => message_of_2_kb(index));
}

export function turn_of(index: number): RecordedTurn {
  const [turn] = recorded_turns([message_of_2_kb(2 * index), message_of_2_kb(2 * index + 1)]);
  return turn as RecordedTurn;
}

/**
 * Two short messages that take the same memory whoever has handled them: texts in one piece, and numbers that are part of
 * their object, which the usual timestamps are not always.
 */
export function short_turn(index: number): RecordedTurn {
  const message = (role: Message["role"]) => {
    const text = `What ${role} ${index} has to say.`;
    const content = [{ type: "text", text, id: `${role}-${index}-text`, timestamp: index }];
    return { role, content, id: `${role}-${index}`, timestamp: index };
  };
  return JSON.parse(JSON.stringify({ user: [message("user")], assistant: [message("assistant")] })) as RecordedTurn;
}

/** The bytes that these messages have as JSON lines: nothing that stores them can write fewer. */
export function bytes_of(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + Buffer.byteLength(json_line(message)), 0);
}

export function json_line(message: unknown): string {
  return `${JSON.stringify(message)}\n`;
}
