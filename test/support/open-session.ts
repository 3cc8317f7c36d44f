import {
  Conversation,
  StreamingProvider,
  type LifecycleErrorEvent,
  type Script,
  type ScriptedProvider,
} from "@simulacra-ai/core";
import {
  SessionManager,
  type SessionConversation,
  type SessionManagerOptions,
  type SessionMetadata,
  type SessionSnapshot,
  type SessionStore,
} from "@simulacra-ai/session";
import { onTestFinished } from "vitest";
import type { Backend, OpenBackend } from "../backends.js";
import { PlainConversation } from "./plain-conversation.js";
import { RecordingStore } from "./recording-store.js";

/** Opens sessions for the test that calls it; they are gone with it. */
export async function open_backend(backend: Backend): Promise<OpenBackend> {
  const opened = await backend.open();
  onTestFinished(() => opened.close());
  return opened;
}

export async function open_recording(backend: Backend): Promise<RecordingStore> {
  return new RecordingStore((await open_backend(backend)).store);
}

export interface Observed {
  manager: SessionManager;
  /** What `lifecycle_error` told. */
  errors: LifecycleErrorEvent[];
  saves: SessionSnapshot[];
  loads: SessionSnapshot[];
}

/** A manager with ears, brought to rest when the test ends. */
export function observe(
  store: SessionStore,
  conversation: SessionConversation,
  options?: SessionManagerOptions,
): Observed {
  const manager = new SessionManager(store, conversation, options);
  const [errors, saves, loads]: [LifecycleErrorEvent[], SessionSnapshot[], SessionSnapshot[]] = [[], [], []];
  manager.on("lifecycle_error", (event) => errors.push(event));
  manager.on("save", (event) => saves.push(event));
  manager.on("load", (event) => loads.push(event));
  onTestFinished(async () => {
    if (store instanceof RecordingStore) {
      store.release_all(); // what a failed test left behind
    }
    manager[Symbol.dispose]();
    await manager.flush().catch((error: unknown) => errors.push({ error, operation: "flush" }));
  });
  return { manager, errors, saves, loads };
}

export interface OpenOptions extends SessionManagerOptions {
  script?: Script;
  provider_class?: new (script: Script) => ScriptedProvider;
}

const ALWAYS_OK: Script = () => ({});

/** A conversation of the engine, and its manager. The provider streams on after `prompt()` where no other is given. */
export function open_session(store: SessionStore, { script, provider_class, ...options }: OpenOptions = {}) {
  const provider = new (provider_class ?? StreamingProvider)(script ?? ALWAYS_OK);
  const conversation = new Conversation(provider);
  return { conversation, provider, ...observe(store, conversation, options) };
}

export function open_plain(store: SessionStore, options?: SessionManagerOptions) {
  const conversation = new PlainConversation();
  return { conversation, ...observe(store, conversation, options) };
}

/** The stored record, which has to be there. */
export async function record_of(store: SessionStore, id: string) {
  const record = await store.load(id);
  if (record === undefined) {
    throw new Error(`no record of session ${id}`);
  }
  return record;
}

export async function metadata_of(store: SessionStore, id: string): Promise<SessionMetadata> {
  return (await record_of(store, id)).metadata;
}

/** Everything in a store, to compare with later. */
export async function contents_of(store: SessionStore) {
  const entries = await store.list();
  const records = await Promise.all(entries.map(({ id }) => record_of(store, id)));
  return new Map(
    records.map(({ metadata, messages }) => [metadata.id, { metadata: without_nulls(metadata), messages }]),
  );
}

/** A store that merges as its author saw fit keeps the `null` of a removed key. */
function without_nulls(metadata: SessionMetadata) {
  return Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null));
}
