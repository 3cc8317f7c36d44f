import type { SessionStore, StoredSession } from "./types.js";

type Capability = "append" | "replace" | "update" | "flush" | "set_draft";

/** How many steps up the prototype chain a method is defined; Infinity where it is not. */
function distance(store: object, method: string): number {
  let steps = 0;
  for (let at: object | null = store; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if (Object.hasOwn(at, method)) {
      return steps;
    }
    steps += 1;
  }
  return Infinity;
}

/**
 * Whether a store has a capability: the method is there, and defined at least as near the object as `save` and
 * `load`. A subclass that changes what those do is thereby never bypassed by an inherited method.
 */
export function has_capability<K extends Capability>(
  store: SessionStore,
  capability: K,
): store is SessionStore & Required<Pick<SessionStore, K>> {
  return (
    typeof store[capability] === "function" &&
    distance(store, capability) <= Math.min(distance(store, "save"), distance(store, "load"))
  );
}

/** The name of the method of {@link ChangesWhatItKeeps}. */
export const AS_STORED: unique symbol = Symbol.for("@simulacra-ai/session as stored");

/** What of a session is compared. */
export type SessionParts = Partial<Pick<StoredSession, "messages" | "metadata" | "draft">>;

/**
 * A store that gives back other messages than it was given, and says which; a wrapper around one passes that on. Without
 * it, whoever compares what is stored takes it for another history.
 */
export interface ChangesWhatItKeeps {
  [AS_STORED](parts: SessionParts): SessionParts;
}

/** What `load` of a store would give back of these. */
export function as_stored<P extends SessionParts>(store: SessionStore, parts: P): P {
  const wrapper = store as SessionStore & Partial<ChangesWhatItKeeps>;
  return typeof wrapper[AS_STORED] === "function" ? (wrapper[AS_STORED](parts) as P) : parts;
}
