import { createHash } from "node:crypto";
import type { Content, Message } from "./types.js";

/** Equal JSON, equal id: ids are not unique. */
export function content_hash(value: unknown): string {
  return createHash("sha1").update(JSON.stringify(value)).digest("hex");
}

/** The message with `timestamp` and `id` where it or one of its contents has none. What is given stays. */
export function stamp_message<M extends Message>(message: M): M {
  const { id, ...rest } = message;
  const content = message.content.map((item: Content) => stamp_content(item));
  const stamped = { ...rest, timestamp: message.timestamp ?? Date.now(), content };
  return { ...stamped, id: id ?? content_hash(stamped) } as unknown as M;
}

function stamp_content<C extends Content>(content: C): C {
  const { id, ...rest } = content;
  const stamped = { ...rest, timestamp: content.timestamp ?? Date.now() };
  return { ...stamped, id: id ?? content_hash(stamped) } as unknown as C;
}

/** A frozen shallow copy: its `content` is the same array. */
export function snapshot<T extends object>(value: T): Readonly<T> {
  return Object.freeze({ ...value });
}
