import { deferred } from "@simulacra-ai/core";
import { SessionError, type ConflictEvent, type SessionManager, type SessionStore } from "@simulacra-ai/session";
import type { Backend } from "../backends.js";
import { history_of } from "../history/stores.js";
import { open_backend } from "./open-session.js";
import { RecordingStore, type Held, type StoreMethod, type Which } from "./recording-store.js";

export const WRITES_OF_MESSAGES: readonly StoreMethod[] = ["save", "append", "replace"];

/** What a file system reports when a device fails. */
export const EIO = new SessionError("storage", "EIO: i/o error");

/** A recording store that keeps drafts, where the store inside does. Writes of drafts are not recorded. */
export async function open_recording_with_drafts(backend: Backend): Promise<RecordingStore & SessionStore> {
  const { store } = await open_backend(backend);
  const set_draft = store.set_draft?.bind(store);
  return Object.assign(new RecordingStore(store), set_draft && { set_draft });
}

/** The call waits until `release`, then rejects without having done anything. */
export function hold_and_fail(store: RecordingStore, methods: readonly StoreMethod[], which: Which = {}): Held {
  const [reached, released] = [deferred(), deferred()];
  const refuse = async () => {
    reached.resolve();
    await released.promise;
    throw EIO;
  };
  store.intercept(methods, refuse, which);
  return { reached: reached.promise, release: () => released.resolve() };
}

/** The texts of every stored session, inherited ones included, by id. */
export async function histories_of(store: SessionStore): Promise<Map<string, string[]>> {
  const histories = new Map<string, string[]>();
  for (const { id } of await store.list()) {
    histories.set(id, (await history_of(store, id)) ?? []);
  }
  return histories;
}

/** The texts that one session holds more than once. */
export function repeated(histories: ReadonlyMap<string, string[]>): string[] {
  return [...histories.values()].flatMap((history) => history.filter((text, at) => history.indexOf(text) !== at));
}

/** The conflicts that a manager reports from now on. */
export function conflicts_of(manager: SessionManager): ConflictEvent[] {
  const conflicts: ConflictEvent[] = [];
  manager.on("conflict", (event) => conflicts.push(event));
  return conflicts;
}
