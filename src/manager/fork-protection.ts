import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { until_settled } from "../async/retry.js";
import { sleep } from "../async/timers.js";
import { changed_meanwhile } from "../errors.js";
import { derived_label } from "../label.js";
import { fork_point, inherits, same_lineage, type ResolvedSession } from "../lineage.js";
import { session_kind } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import { begins_with, type Messages } from "../messages.js";
import type { SessionState } from "./session-state.js";
import type { Metadata, StoreAccess, Written } from "./store-access.js";

/*
 * Hazard: sessions inherit from records that other writers may cut or delete at any time, and no store changes two
 * records in one step. So both sides look twice. A writer that cuts or deletes a session protects its forks before, and
 * protects the forks made meanwhile after it, with the history in memory. A writer of a fork looks at the parent again
 * afterwards. Of two writers that meet, at least one notices.
 */

/** How long, and how often, to wait for another manager that is moving a parent. */
const PATIENCE = { ms: 25, times: 2 };

async function pause(): Promise<"again"> {
  await sleep(PATIENCE.ms);
  return "again";
}

/** Writes a fork's whole history into the fork. Its parent is named for provenance from then on. */
function write_materialized(store: StoreAccess, { metadata, revision }: StoredSession, messages: Messages) {
  const { id, updated_at } = metadata;
  const detached = { detached: true, kind: session_kind(metadata), updated_at };
  return store.put(id, messages, detached, revision ?? null);
}

/**
 * Writes the messages that a fork inherits from a session into the fork. A cycle of parents is visited once. Where the
 * chain of parents lacks something, and goes on lacking it, the fork inherits what remains. Returns `undefined` where the
 * fork is gone or has another parent by now.
 */
export async function materialize(store: StoreAccess, id: string, parent_id: string): Promise<Written | undefined> {
  return until_settled(id, async (attempt) => {
    const resolved = await store.resolve(id, { cut_cycles: true });
    if (resolved === undefined || resolved.record.metadata.parent_id !== parent_id) {
      return undefined;
    }
    const { record, messages, missing } = resolved;
    if (!inherits(record.metadata)) {
      return { revision: record.revision, is_certain: false };
    }
    if (missing.length > 0 && attempt <= PATIENCE.times) {
      return pause();
    }
    const now = await store.load(id);
    if (now === undefined || !same_lineage(now.metadata, record.metadata)) {
      return "again"; // the fork moved while its parents were read, so the parents may have been cut already
    }
    return write_materialized(store, record, messages);
  });
}

/** Gives a fork the messages that it inherited from a session that was cut or deleted, from memory. */
async function give_back(
  store: StoreAccess,
  id: string,
  parent_id: string,
  history: readonly Message[],
): Promise<void> {
  await until_settled(id, async (attempt) => {
    const record = await store.load(id);
    if (record === undefined || record.metadata.parent_id !== parent_id || !inherits(record.metadata)) {
      return undefined;
    }
    if (!is_of(record.metadata, history) && attempt <= PATIENCE.times) {
      return pause(); // a fork of a history that another manager has cut, and has in memory
    }
    const { count } = fork_point(record.metadata, history);
    await write_materialized(store, record, [...history.slice(0, count), ...record.messages]);
    return undefined;
  });
}

/** Returns the forks of a session that inherit more than its first `common` messages. */
export async function stranded_forks(
  store: StoreAccess,
  id: string,
  history: readonly Message[],
  common: number,
): Promise<SessionMetadata[]> {
  return (await store.forks_of(id)).filter((fork) => fork_point(fork, history).count > common);
}

/** Makes forks that still inherit from `from` inherit from `to`. */
export async function move_forks(
  store: StoreAccess,
  forks: readonly SessionMetadata[],
  from: string,
  to: string,
): Promise<void> {
  for (const { id } of forks) {
    await until_settled(id, async () => {
      const metadata = (await store.load(id))?.metadata;
      if (metadata !== undefined && metadata.parent_id === from && inherits(metadata)) {
        await store.update(id, { parent_id: to, updated_at: metadata.updated_at });
      }
    });
  }
}

/**
 * Protects forks that were made while a session was cut to its first `common` messages. They inherit from the session
 * that keeps the old history (`kept_as`), or, without one, hold the history themselves.
 */
export async function keep_forks_of_cut(
  store: StoreAccess,
  id: string,
  { history, common, kept_as }: { history: readonly Message[]; common: number; kept_as: string | undefined },
): Promise<void> {
  const stranded = await stranded_forks(store, id, history, common);
  const late = stranded.filter((fork) => is_of(fork, history));
  if (kept_as !== undefined) {
    return move_forks(store, late, id, kept_as);
  }
  for (const fork of late) {
    await give_back(store, fork.id, id, history);
  }
}

/** True where a fork was made of this history, not of a later one. Without ids that is not always certain. */
function is_of(fork: SessionMetadata, history: readonly Message[]): boolean {
  const { count, missing } = fork_point(fork, history);
  return missing === undefined && count >= (fork.fork_message_count ?? count);
}

/** Protects forks that were made while their parent was deleted: they hold the inherited messages themselves. */
export async function keep_forks_of_deleted(
  store: StoreAccess,
  id: string,
  history: readonly Message[],
): Promise<void> {
  for (const fork of await store.forks_of(id)) {
    await give_back(store, fork.id, id, history);
  }
}

/**
 * Checks a fork that was just written. Where the parent has changed, and the fork's history with it, the history that was
 * meant is written into the fork. Returns `undefined` where the fork inherits as before.
 */
export async function secure_fork(
  store: StoreAccess,
  id: string,
  parent: StoredSession,
  meant: Messages,
): Promise<Written | undefined> {
  return until_settled(id, async () => {
    if (is_as_before(parent, await store.load(parent.metadata.id))) {
      return undefined;
    }
    const resolved = await store.resolve(id, { cut_cycles: true });
    if (resolved === undefined) {
      return undefined; // the fork was deleted with its parent
    }
    const { record, messages } = resolved;
    if (!begins_with(messages, store.as_stored(meant))) {
      return write_materialized(store, record, meant);
    }
    return inherits(record.metadata) ? undefined : { revision: record.revision, is_certain: false };
  });
}

function is_as_before(known: StoredSession, now: StoredSession | undefined): boolean {
  if (now === undefined || !same_lineage(known.metadata, now.metadata)) {
    return false;
  }
  return known.revision === undefined
    ? now.messages.length === known.messages.length && begins_with(now.messages, known.messages)
    : now.revision === known.revision;
}

/** Returns the record of the parent that a session inherits from. */
export function parent_record({ chain }: ResolvedSession): StoredSession | undefined {
  return chain[1];
}

/**
 * Prepares a session whose stored history is about to be replaced by one that shares only the first `common` messages.
 * With `"keep"` the old version is stored as a session of its own, and forks whose fork point is cut off inherit from
 * that. With `"overwrite"` those forks hold the inherited messages themselves. Returns the step that protects forks made
 * meanwhile, to be run after the write.
 */
export async function keep_replaced_history(
  store: StoreAccess,
  state: SessionState,
  { record: known, common }: { record: StoredSession; common: number },
  policy: "keep" | "overwrite",
): Promise<() => Promise<void>> {
  const { id } = state;
  const resolved = await store.resolve_readable(id);
  const record = resolved === "damaged" ? known : resolved?.record;
  if (record === undefined || record.revision !== known.revision) {
    throw changed_meanwhile(id);
  }
  const { metadata, messages } = record; // the parent may be another one by now
  const is_kept = policy === "keep" && messages.length > 0 && session_kind(metadata) !== "checkpoint";
  if (is_kept) {
    const tried = state.replaced !== undefined && is_same_version(state.replaced.messages, messages);
    const id = tried && state.replaced ? state.replaced.id : randomUUID();
    state.replaced = { id, messages };
    state.replaced.id = await store_version(store, { id, tried, suffix: "replaced" }, metadata, messages);
  }
  const kept_as = is_kept ? state.replaced?.id : undefined;
  if (resolved === "damaged" || resolved === undefined) {
    await require_readable_forks(store, id);
    return () => Promise.resolve();
  }
  const parent = parent_record(resolved);
  if (kept_as !== undefined && parent !== undefined) {
    await secure_fork(store, kept_as, parent, resolved.messages);
  }
  const history = resolved.messages;
  const stranded = await stranded_forks(store, id, history, common);
  if (kept_as !== undefined) {
    await move_forks(store, stranded, id, kept_as);
  } else {
    for (const fork of stranded) {
      await materialize(store, fork.id, id);
    }
  }
  return () => keep_forks_of_cut(store, id, { history, common, kept_as });
}

function is_same_version(a: Messages, b: Messages): boolean {
  return a.length === b.length && begins_with(a, b);
}

/** @throws {SessionError} `corrupt` where there are forks, since their inherited messages cannot be read. */
async function require_readable_forks(store: StoreAccess, id: string): Promise<void> {
  if ((await store.forks_of(id)).length > 0) {
    await store.resolve(id);
  }
}

/** Stores a version of a session under another id, with the old parent, dates and messages. Returns the id. */
export async function store_version(
  store: StoreAccess,
  { id, tried = false, suffix }: { id: string; tried?: boolean; suffix: string },
  metadata: SessionMetadata,
  messages: Messages,
  changes: Metadata = {},
): Promise<string> {
  const { id: _id, message_count: _count, label_source: _source, label, ...kept } = metadata;
  const version = { ...kept, ...derived_label(label, suffix), ...changes, kind: "fork" as const };
  return (await store.create(id, messages, version, tried)).id;
}
