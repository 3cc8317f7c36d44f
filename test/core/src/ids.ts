import { createHash } from "node:crypto";
import type { AssistantMessage, UserMessage } from "./types.js";

interface Stamped {
  id?: string;
  timestamp?: number;
}

/** Gives a prompt and its contents a timestamp, then an id, where one is missing. Equal JSON gives equal ids. */
export function stamp_prompt(prompt: UserMessage): UserMessage {
  const content = prompt.content.map((item) => with_id(with_timestamp(item)));
  return with_id(with_timestamp({ ...prompt, content }));
}

/**
 * Gives a reply and its contents an id, then a timestamp, where one is missing. Hashes before the timestamp is added, so
 * that equal contents have equal ids at any time. The reply's hash covers the timestamps of its contents.
 */
export function stamp_reply(reply: AssistantMessage): AssistantMessage {
  const content = reply.content.map((item) => with_timestamp(with_id(item)));
  return stamp_reply_message({ ...reply, content });
}

/** Stamps a reply like `stamp_reply`, but leaves its contents as they are. */
export function stamp_reply_message(reply: AssistantMessage): AssistantMessage {
  return with_timestamp(with_id(reply));
}

/*
 * A spread with an overridden key gives every copy a hidden class of its own, and then each read of the messages takes
 * several times as long. So a key is only added, never overridden.
 */
function with_id<T extends Stamped>(value: T): T {
  if (value.id !== undefined) return { ...value };
  return { ...value, id: createHash("sha1").update(JSON.stringify(value)).digest("hex") };
}

function with_timestamp<T extends Stamped>(value: T): T {
  return value.timestamp === undefined ? { ...value, timestamp: Date.now() } : { ...value };
}

/** Copies a message shallowly and freezes the copy. The `content` array stays the same object. */
export function snapshot<T extends object>(value: T): Readonly<T> {
  return Object.freeze({ ...value });
}
