import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import {
  FileSessionStore,
  InMemorySessionStore,
  SessionError,
  type SessionMetadata,
  type SessionStore,
  type StoredSession,
} from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { onTestFinished } from "vitest";

/** A store with every capability that all of ours have. */
export type FullStore = SessionStore & Required<Pick<SessionStore, "append" | "replace" | "update" | "set_draft">>;

/** The stores whose behaviour must be one and the same. */
export const STORES: { name: string; open: () => FullStore }[] = [
  { name: "memory", open: () => new InMemorySessionStore() },
  { name: "file", open: () => new FileSessionStore(temporary_directory()) },
  {
    name: "file, ndjson",
    open: () => new FileSessionStore(quick_directory(), { format: "ndjson", durable: false }),
  },
  { name: "file, durable: false", open: () => new FileSessionStore(quick_directory(), { durable: false }) },
];

/** A new directory that is gone after the test. */
export function temporary_directory(above = os.tmpdir()): string {
  const path = fs.mkdtempSync(join(above, "stores-"));
  onTestFinished(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

const MEMORY = "/dev/shm";

/** The same in memory, where the system offers that: for tests with thousands of files. */
export function quick_directory(): string {
  return temporary_directory(fs.existsSync(MEMORY) ? MEMORY : undefined);
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

/** What a promise came to: the code of its `SessionError`, another error as text, or `"done"`. */
export async function outcome_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof SessionError ? error.code : String(error);
  }
  return "done";
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(random: () => number, choices: readonly [T, ...T[]]): T {
  return choices[Math.floor(random() * choices.length)] ?? choices[0];
}
