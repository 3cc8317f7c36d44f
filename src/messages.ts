import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import { invalid_input } from "./errors.js";
import { json_of } from "./json.js";

export type Messages = readonly Readonly<Message>[];

/** Returns why a value is no message, or `undefined` where it is one. */
function problem_of_message(message: unknown): string | undefined {
  const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown };
  if (typeof role !== "string") {
    return "it has no role";
  }
  if (!Array.isArray(content)) {
    return "its content is not an array";
  }
  const at = content.findIndex((part) => typeof (part as { type?: unknown } | null)?.type !== "string");
  return at < 0 ? undefined : `content ${at} has no type`;
}

/**
 * Returns a copy of a message as JSON holds it. `at` is its position, for the error.
 * @throws {SessionError} `invalid_input` for a malformed message and for a value that JSON cannot hold.
 */
export function copy_message(message: Message, at: number): Message {
  let json: string | undefined;
  let cause: unknown;
  let problem = problem_of_message(message);
  if (problem === undefined) {
    try {
      json = json_of(message);
    } catch (error) {
      cause = error;
      problem = "JSON cannot hold it";
    }
  }
  if (json !== undefined) {
    return JSON.parse(json) as Message;
  }
  const id: unknown = (message as Partial<Message> | null)?.id;
  const name = typeof id === "string" ? `message ${at} (${id})` : `message ${at}`;
  throw invalid_input(`${name} cannot be stored: ${problem ?? "JSON cannot hold it"}`, { cause });
}

/** True when both are equal as JSON, whatever the order of their keys. */
export function same_json(a: unknown, b: unknown): boolean {
  let texts: [string, string];
  try {
    texts = [JSON.stringify(a), JSON.stringify(b)];
  } catch {
    return false; // JSON cannot hold one of them, so it was never stored
  }
  return texts[0] === texts[1] || isDeepStrictEqual(JSON.parse(texts[0]), JSON.parse(texts[1]));
}

/** True when one of the messages has this id. */
export function has_message(messages: readonly { readonly id?: string }[], id: string | undefined): boolean {
  return messages.some((message) => message.id === id);
}

/** Returns how many leading messages are equal by value. */
export function common_prefix(a: Messages, b: Messages): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    if (!same_json(a[at], b[at])) {
      return at;
    }
  }
  return length;
}

/** True when a history begins with another one, by value. */
export function begins_with(history: Messages, beginning: Messages): boolean {
  return common_prefix(history, beginning) === beginning.length;
}
