import type { Message } from "@simulacra-ai/core";
import { is_error, type SessionErrorCode } from "../errors.js";
import type { SessionDraft, SessionMetadata, SessionStore, StoredSession } from "../types.js";

/** A rule that a store does not keep. */
export class ConformanceError extends Error {
  override readonly name = "ConformanceError";
}

/** Equal as JSON holds them: the order of keys, and keys that are `undefined`, do not count. */
export function same(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return Object.is(a, b);
  }
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, at) => same(item, b[at]));
  }
  const [left, right] = [defined_entries(a), defined_entries(b)];
  return left.length === right.length && left.every(([key, value]) => Object.hasOwn(b, key) && same(value, at(b, key)));
}

function defined_entries(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, item]) => item !== undefined);
}

function at(value: object, key: string): unknown {
  return (value as Record<string, unknown>)[key];
}

export function check(holds: boolean, what: string): void {
  if (!holds) {
    throw new ConformanceError(what);
  }
}

export function check_same(found: unknown, expected: unknown, what: string): void {
  if (!same(found, expected)) {
    throw new ConformanceError(`${what}: found ${shown(found)}, expected ${shown(expected)}`);
  }
}

export function shown(value: unknown): string {
  const text = value === undefined ? "undefined" : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

/** What an operation says, with the code where it says no. */
export async function outcome_of(operation: Promise<unknown>): Promise<string> {
  try {
    await operation;
    return "done";
  } catch (error) {
    return code_of(error) ?? `an error without a code: ${String(error)}`;
  }
}

export function code_of(error: unknown): SessionErrorCode | undefined {
  const code = is_error(error) ? (error as Error & { code?: unknown }).code : undefined;
  return typeof code === "string" ? (code as SessionErrorCode) : undefined;
}

export async function check_rejects(operation: Promise<unknown>, code: SessionErrorCode, what: string): Promise<void> {
  const outcome = await outcome_of(operation);
  check(outcome === code, `${what}: should reject with the code ${code}, but: ${outcome}`);
}

let made = 0;

/** An id that no other case uses. */
export function new_id(name = "session"): string {
  made += 1;
  return `${name}-${made}-${Math.floor(Math.random() * 2 ** 40).toString(36)}`;
}

export function message(text: string, more: object = {}): Message {
  made += 1;
  const id = `message-${made}`;
  return {
    role: "user",
    id,
    timestamp: 1_700_000_000_000 + made,
    content: [{ type: "text", text }],
    ...more,
  };
}

export function messages(...texts: string[]): Message[] {
  return texts.map((text) => message(text));
}

export function draft(text: string, partial?: string): SessionDraft {
  const answer =
    partial === undefined ? {} : { partial: { role: "assistant", content: [{ type: "text", text: partial }] } };
  return { prompt: message(text), ...answer, updated_at: "2024-01-01T00:00:00.000Z" } as SessionDraft;
}

export async function loaded(store: SessionStore, id: string): Promise<StoredSession> {
  const session = await store.load(id);
  if (!session) {
    throw new ConformanceError(`session ${id} is not there`);
  }
  return session;
}

export async function revision_of(store: SessionStore, id: string): Promise<string> {
  const { revision } = await loaded(store, id);
  if (typeof revision !== "string" || revision === "") {
    throw new ConformanceError(`load returns no revision: ${shown(revision)}`);
  }
  return revision;
}

export async function listed(store: SessionStore, id: string): Promise<SessionMetadata | undefined> {
  return (await store.list()).find((entry) => entry.id === id);
}

export async function check_messages(store: SessionStore, id: string, expected: readonly Message[], what: string) {
  check_same((await loaded(store, id)).messages, expected, `${what}: the messages`);
  check_same((await listed(store, id))?.message_count, expected.length, `${what}: the message_count in the list`);
}

/** A store whose capability is there: the case needs it. */
export type Capable = Required<SessionStore>;

/** Numbers that only look random: the same seed, the same numbers. */
export function seeded(seed: number) {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed ^ (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61))) >>> 0;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { below, pick: <T>(from: readonly T[]): T => from[below(from.length)] as T };
}
