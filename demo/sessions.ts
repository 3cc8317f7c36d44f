import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Conversation, next_reply, StreamingProvider, type Message, type ModelRequest } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager, type SessionMetadata } from "@simulacra-ai/session";

/** What a store that has seen nothing yet finds of a session: the messages that it owns. */
export async function stored(directory: string, id: string): Promise<Message[]> {
  return (await new FileSessionStore(directory).load(id))?.messages ?? [];
}

/** What a manager that has seen nothing yet loads of a session: inherited messages, then its own. */
export async function history(directory: string, id: string): Promise<Message[]> {
  const conversation = new Conversation(new StreamingProvider());
  using manager = new SessionManager(new FileSessionStore(directory), conversation, { auto_save: false });
  await manager.load(id);
  return [...conversation.messages];
}

export async function metadata(directory: string, id: string): Promise<SessionMetadata> {
  const found = (await new FileSessionStore(directory).list()).find((entry) => entry.id === id);
  if (found === undefined) {
    throw new Error(`session ${id} is not listed`);
  }
  return found;
}

/** Of a session's file, to see whether a single byte of it changes. */
export function digest(directory: string, id: string): string {
  return createHash("sha256")
    .update(readFileSync(join(directory, `${id}.json`)))
    .digest("hex");
}

/** Prompts, and waits for the reply, which the provider streams after `prompt()` has resolved. */
export async function ask(of: Conversation, text: string): Promise<void> {
  await Promise.all([next_reply(of), of.prompt(text)]);
}

export function answer({ messages }: ModelRequest) {
  return { text: `An answer to message ${messages.length}, in a few pieces.`, chunks: 5, delay_ms: 10 };
}
