import type { Message } from "@simulacra-ai/core";

/**
 * A tag stands for a message: `{name}:{length of its text}`. The text is the tag and dots up to that length, so that
 * every message says by itself whether it is whole.
 */
export function text_of(tag: string): string {
  return tag.padEnd(size_of(tag), ".");
}

export function size_of(tag: string): number {
  return Number(tag.slice(tag.indexOf(":") + 1));
}

export function tagged(tag: string): Message {
  return { role: "user", id: tag, content: [{ type: "text", text: text_of(tag) }] };
}

export function tag_of({ content: [first] }: Readonly<Message>): string {
  const text = first?.type === "text" ? first.text : "";
  const tag = /^[^:]*:\d+/.exec(text)?.[0];
  if (tag === undefined || text !== text_of(tag)) {
    throw new Error(`a message is not as it was written: ${text.slice(0, 60)}`);
  }
  return tag;
}
