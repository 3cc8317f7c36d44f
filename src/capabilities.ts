import type { SessionStore } from "./types.js";

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
