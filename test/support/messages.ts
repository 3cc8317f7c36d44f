import type { AssistantMessage, Message, UserMessage } from "@simulacra-ai/core";

export function user(text: string, id?: string): UserMessage {
  return { role: "user", ...(id !== undefined && { id }), content: [{ type: "text", text }] };
}

export function assistant(text: string, id?: string): AssistantMessage {
  return { role: "assistant", ...(id !== undefined && { id }), content: [{ type: "text", text }] };
}

/** Questions and answers: `u1 a1 u2 a2 …` are their ids, with `prefix` before them. */
export function turns(count: number, prefix = ""): Message[] {
  return Array.from({ length: count }, (_, index) => index + 1).flatMap((n) => [
    user(`question ${prefix}${n}`, `${prefix}u${n}`),
    assistant(`answer ${prefix}${n}`, `${prefix}a${n}`),
  ]);
}

export function ids(messages: readonly { id?: string | undefined }[] | undefined): (string | undefined)[] | undefined {
  return messages?.map(({ id }) => id);
}

export function texts(messages: readonly Readonly<Message>[] | undefined): string[] | undefined {
  return messages?.map(({ content }) => content.map((part) => (part.type === "text" ? part.text : part.type)).join());
}
