import type { Message } from "@simulacra-ai/core";

/** The first text of a message; every message of a run has one of its own. */
export function text_of(message: Pick<Message, "content"> | undefined): string {
  const first = message?.content[0];
  return first?.type === "text" ? first.text : "";
}

export function texts_of(messages: readonly Readonly<Message>[]): string[] {
  return messages.map(text_of);
}

/** Of each turn that is complete its reply, which names it. */
export function replies_of(messages: readonly Readonly<Message>[]): string[] {
  return texts_of(messages).filter((text) => text.startsWith("r"));
}
