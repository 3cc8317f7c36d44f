import { SessionError, type SessionMetadata, type SessionStore, type StoredSession } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { onTestFinished } from "vitest";
import { memory_place, new_directory } from "../support/temporary-directory.js";

/** A store with every capability that all of ours have. */
export type FullStore = SessionStore & Required<Pick<SessionStore, "append" | "replace" | "update" | "set_draft">>;

/** A new directory that is gone after the test. */
export function temporary_directory(above?: string): string {
  const { path, remove } = new_directory(above);
  onTestFinished(remove);
  return path;
}

/** The same in memory, where the system offers that: for tests with thousands of files. */
export function quick_directory(): string {
  return temporary_directory(memory_place());
}

export function message(text: string, more: object = {}): Message {
  return { role: "user", id: `id of ${text.slice(0, 20)}`, content: [{ type: "text", text }], ...more };
}

export function texts_of(messages: readonly Message[]): string[] {
  return messages.map(({ content: [first] }) => (first?.type === "text" ? first.text : "no text"));
}

/** Metadata whose type is not what the compiler would let through. */
export function loose(metadata: unknown): Partial<SessionMetadata> {
  return metadata as Partial<SessionMetadata>;
}

/** The session, which must be there. */
export async function loaded(
  store: Pick<SessionStore, "load">,
  id = "s",
): Promise<StoredSession & { revision: string }> {
  const session = await store.load(id);
  if (session?.revision === undefined) {
    throw new Error(`session ${id} is missing, or has no revision`);
  }
  return { ...session, revision: session.revision };
}

/** Resolves to the outcome of a promise: the code of its `SessionError`, another error as text, or `"done"`. */
export async function outcome_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SessionError ? error.code : String(error);
  }
  return "done";
}

export function pick<T>(random: () => number, choices: readonly [T, ...T[]]): T {
  return choices[Math.floor(random() * choices.length)] ?? choices[0];
}
