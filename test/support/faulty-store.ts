import { deferred } from "@simulacra-ai/core";
import { SessionError, type ConflictEvent, type SessionManager, type SessionStore } from "@simulacra-ai/session";
import type { Backend } from "../backends.js";
import { history_of } from "./histories.js";
import { open_backend } from "./open-session.js";
import { RecordingStore, type Held, type StoreMethod, type Which } from "./recording-store.js";

export const WRITES_OF_MESSAGES: readonly StoreMethod[] = ["save", "append", "replace"];

/** The error of a device that fails. */
export const EIO = new SessionError("storage", "EIO: i/o error");

/** Opens a recording store that also keeps drafts, if the backend does. Draft writes are not recorded. */
export async function open_recording_with_drafts(backend: Backend): Promise<RecordingStore & SessionStore> {
  const { store } = await open_backend(backend);
  const set_draft = store.set_draft?.bind(store);
  return Object.assign(new RecordingStore(store), set_draft && { set_draft });
}

/** Makes a call wait until `release`, then reject without having done anything. */
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

/** Reads the texts of every stored session, inherited messages included, by session id. */
export async function histories_of(store: SessionStore): Promise<Map<string, string[]>> {
  const histories = new Map<string, string[]>();
  for (const { id } of await store.list()) {
    histories.set(id, (await history_of(store, id)) ?? []);
  }
  return histories;
}

/** Finds texts that one session holds more than once. */
export function repeated(histories: ReadonlyMap<string, string[]>): string[] {
  return [...histories.values()].flatMap((history) => history.filter((text, at) => history.indexOf(text) !== at));
}

/** Collects the conflicts that a manager reports from now on. */
export function conflicts_of(manager: SessionManager): ConflictEvent[] {
  const conflicts: ConflictEvent[] = [];
  manager.on("conflict", (event) => conflicts.push(event));
  return conflicts;
}
