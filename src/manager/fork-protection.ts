import { randomUUID } from "node:crypto";
import { until_settled } from "../async/retry.js";
import { sleep } from "../async/timers.js";
import { changed_meanwhile, ignore } from "../errors.js";
import { derived_label } from "../label.js";
import { fork_point, inherits, same_lineage } from "../lineage.js";
import { session_kind } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import { begins_with, type Messages } from "../messages.js";
import type { SessionState } from "./session-state.js";
import type { Metadata, StoreAccess } from "./store-access.js";

/*
 * Hazard: sessions inherit from records that other writers may cut or delete at any time, and no store changes two
 * records in one step. So both sides check twice. A writer that cuts or deletes a session protects the forks before the
 * cut. After the cut the writer protects the forks that were made meanwhile, with the history in memory. A writer of a
 * fork reads the parent again after writing the fork. If two writers meet, at least one notices.
 */

/** Limits the wait for another manager that is cutting a parent. */
const PATIENCE = { ms: 25, times: 2 };

/** Writes a fork's whole history into the fork. From then on the fork names the parent for provenance only. */
async function write_materialized(store: StoreAccess, { metadata, revision }: StoredSession, messages: Messages) {
  const { id, updated_at } = metadata;
  const detached = { detached: true, kind: session_kind(metadata), updated_at };
  await store.put(id, messages, detached, revision ?? null);
  store.note_materialized(id);
}

/**
 * Writes the messages that a fork inherits from a session into the fork. The messages come from the store, or from
 * `history` if the session was cut or deleted. A cycle of parents is visited once. If messages stay missing after the
 * retries, the remaining ones are written. Does nothing if the fork was deleted or has another parent by now.
 */
async function materialize(store: StoreAccess, id: string, parent_id: string, history?: Messages): Promise<void> {
  await until_settled(id, async (attempt) => {
    const resolved = history
      ? resolve_below(history, await store.load(id))
      : await store.resolve(id, { cut_cycles: true });
    if (!resolved || resolved.record.metadata.parent_id !== parent_id) {
      return undefined;
    }
    const { record, messages, missing } = resolved;
    if (!inherits(record.metadata)) {
      return undefined;
    }
    if (missing.length > 0 && attempt <= PATIENCE.times) {
      await sleep(PATIENCE.ms); // another manager may have cut the parent, and will write the history from memory
      return "again";
    }
    const now = await store.load(id);
    if (!now || !same_lineage(now.metadata, record.metadata)) {
      return "again"; // the fork has another parent by now, so the messages that were read may be incomplete
    }
    return write_materialized(store, record, messages);
  });
}

/** Resolves a fork whose parent had this history. */
function resolve_below(history: Messages, record: StoredSession | undefined) {
  if (!record) {
    return undefined;
  }
  const { count } = fork_point(record.metadata, history);
  const missing = was_made_of(record.metadata, history) ? [] : ["the history that the fork was made of"];
  return { record, messages: [...history.slice(0, count), ...record.messages], missing };
}

/** True if a fork was made of this history, not of a later one. Without ids that is not always certain. */
function was_made_of(fork: SessionMetadata, history: Messages): boolean {
  const { count, missing } = fork_point(fork, history);
  return missing === undefined && count >= (fork.fork_message_count ?? count);
}

/** Materializes the forks of a session: from the store, or from `history` if the session was deleted. */
export async function materialize_forks(store: StoreAccess, id: string, history?: Messages): Promise<void> {
  for (const fork of await store.forks_of(id)) {
    await materialize(store, fork.id, id, history);
  }
}

/** Makes a fork that still inherits from `from` inherit from `to`. */
export async function reparent_fork(store: StoreAccess, id: string, from: string, to: string): Promise<void> {
  await until_settled(id, async () => {
    const metadata = (await store.load(id))?.metadata;
    if (metadata && metadata.parent_id === from && inherits(metadata)) {
      await store.update(id, { parent_id: to, updated_at: metadata.updated_at });
    }
  });
}

/** The history of a session that is, or was, cut to the first `common` messages. */
export interface CutHistory {
  history: Messages;
  common: number;
  /** The session that keeps the history. */
  kept_as: string | undefined;
}

/**
 * Protects the forks of a session that inherit from the part that is cut off. The forks inherit from the session that
 * keeps the history, or are materialized if there is none. After the cut, protects the forks that were made meanwhile.
 */
export async function protect_forks(
  store: StoreAccess,
  id: string,
  { history, common, kept_as }: CutHistory,
  when: "before" | "after",
): Promise<void> {
  for (const fork of await store.forks_of(id)) {
    const is_cut = fork_point(fork, history).count > common && (when === "before" || was_made_of(fork, history));
    if (is_cut && kept_as !== undefined) {
      await reparent_fork(store, fork.id, id, kept_as);
    } else if (is_cut) {
      await materialize(store, fork.id, id, when === "after" ? history : undefined);
    }
  }
}

/**
 * Checks a fork that was just written. If a change of the parent has changed the fork's history, writes the intended
 * history into the fork. Returns true if the fork holds its whole history itself now.
 */
export async function secure_fork(
  store: StoreAccess,
  id: string,
  parent: StoredSession,
  meant: Messages,
): Promise<boolean> {
  return until_settled(id, async () => {
    if (is_as_before(parent, await store.load(parent.metadata.id))) {
      return false;
    }
    const resolved = await store.resolve(id, { cut_cycles: true });
    if (!resolved) {
      return false; // the fork was deleted with its parent
    }
    const { record, messages } = resolved;
    if (!begins_with(messages, store.as_stored(meant))) {
      await write_materialized(store, record, meant);
      return true;
    }
    return !inherits(record.metadata);
  });
}

function is_as_before(known: StoredSession, now: StoredSession | undefined): boolean {
  if (!now || !same_lineage(known.metadata, now.metadata)) {
    return false;
  }
  return known.revision === undefined ? is_same_version(now.messages, known.messages) : now.revision === known.revision;
}

function is_same_version(a: Messages, b: Messages): boolean {
  return a.length === b.length && begins_with(a, b);
}

/**
 * Prepares the replacement of a session's stored history by one that shares only the first `common` messages. With
 * `"keep"` the old version is stored as a session of its own, and forks that inherit from the cut part are moved there.
 * With `"overwrite"` these forks are materialized. Returns the step to run after the write, which protects the
 * forks that were made meanwhile.
 * @throws {SessionError} `corrupt` if there are forks whose inherited messages cannot be read.
 */
export async function prepare_replacement(
  store: StoreAccess,
  session: SessionState,
  { record: known, common }: { record: StoredSession; common: number },
  policy: "keep" | "overwrite",
): Promise<() => Promise<void>> {
  const { id } = session;
  const resolved = await store.resolve(id, { cut_cycles: true }).catch(ignore("corrupt"));
  const record = resolved?.record ?? (await store.load(id));
  if (!record || record.revision !== known.revision) {
    throw changed_meanwhile(id);
  }
  const { metadata, messages } = record; // the session may have another parent by now
  const is_kept = policy === "keep" && messages.length > 0 && session_kind(metadata) !== "checkpoint";
  let kept_as: string | undefined;
  if (is_kept) {
    if (!session.replaced || !is_same_version(session.replaced.messages, messages)) {
      session.replaced = { id: randomUUID(), messages };
    }
    kept_as = await store_version(store, { id: session.replaced.id, suffix: "replaced" }, metadata, messages);
    session.replaced.id = kept_as;
  }
  if (!resolved) {
    await ((await store.forks_of(id)).length > 0 && store.resolve(id)); // throws: the session cannot be read
    return () => Promise.resolve();
  }
  const [, parent] = resolved.chain;
  if (kept_as !== undefined && parent) {
    await secure_fork(store, kept_as, parent, resolved.messages);
  }
  const cut = { history: resolved.messages, common, kept_as };
  await protect_forks(store, id, cut, "before");
  return () => protect_forks(store, id, cut, "after");
}

/** Stores a version of a session under another id, with the old parent, dates and messages. Returns the id. */
export async function store_version(
  store: StoreAccess,
  { id, suffix }: { id: string; suffix: string },
  metadata: SessionMetadata,
  messages: Messages,
  changes: Metadata = {},
): Promise<string> {
  const { id: _id, message_count: _count, label_source: _source, label, ...kept } = metadata;
  const version = { ...kept, ...derived_label(label, suffix), ...changes, kind: "fork" as const };
  return (await store.create(id, messages, version)).id;
}
