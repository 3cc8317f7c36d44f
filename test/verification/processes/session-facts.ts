import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { resolve_session } from "../../../src/lineage.js";
import type { StoredSession } from "../../../src/types.js";
import { tag_of } from "./tags.js";

/** What matters of a session. */
export interface SessionFacts {
  /** The tags of its messages, inherited ones included. */
  history: readonly string[];
  /** `null`: whatever it is. */
  label: string | undefined | null;
}

/** Sessions by id. */
export type Facts = ReadonlyMap<string, SessionFacts>;

/** Every session of a directory, as any new reader finds it, and those that cannot be read. */
export async function read_facts(root: string): Promise<{ facts: Map<string, SessionFacts>; unreadable: string[] }> {
  const store = new FileSessionStore(root);
  const records = new Map<string, Promise<StoredSession | undefined>>();
  const load = (id: string) => {
    const known = records.get(id) ?? store.load(id);
    records.set(id, known);
    return known;
  };
  const facts = new Map<string, SessionFacts>();
  const unreadable: string[] = [];
  for (const { id, label, damaged } of await store.list()) {
    try {
      const resolved = await resolve_session(id, load);
      if (resolved === undefined || damaged !== undefined || resolved.missing.length > 0) {
        throw new Error(damaged ?? resolved?.missing[0] ?? "it is listed, and is not there");
      }
      facts.set(id, { history: resolved.messages.map(tag_of), label });
    } catch (error) {
      unreadable.push(`${id}: ${String(error)}`);
    }
  }
  return { facts, unreadable };
}

export function is_as(found: SessionFacts | undefined, expected: SessionFacts | undefined): boolean {
  if (found === undefined || expected === undefined) {
    return found === expected;
  }
  return same(found.history, expected.history) && (expected.label === null || found.label === expected.label);
}

export function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((tag, index) => tag === b[index]);
}

/** In a few words. */
export function told(facts: SessionFacts | undefined): string {
  return facts === undefined
    ? "nothing"
    : `${facts.history.length} messages up to ${facts.history.at(-1) ?? "none"}, label ${facts.label}`;
}
