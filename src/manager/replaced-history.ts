import { randomUUID } from "node:crypto";
import { session_kind } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import {
  changed_meanwhile,
  keep_forks_of_cut,
  make_whole,
  move_forks,
  parent_record,
  secure_fork,
  stranded_forks,
} from "./inheritance.js";
import type { Metadata, StorePort } from "./store-port.js";
import { begins_with, type Messages } from "./timeline.js";

/**
 * Before the stored history of a session is replaced by one that has only the first `common` messages in common with
 * it: the old version is stored as a session of its own, and forks whose fork point is gone inherit from that. With
 * `"overwrite"` no copy is kept, and those forks take what they inherit into themselves. Returns what is to be done
 * once it is replaced, for forks made meanwhile.
 */
export async function keep_replaced_history(
  port: StorePort,
  session: ActiveSession,
  { record: known, common }: { record: StoredSession; common: number },
  policy: "keep" | "overwrite",
): Promise<() => Promise<void>> {
  const { id } = session;
  const resolved = await port.resolve_readable(id);
  const record = resolved === "damaged" ? known : resolved?.record;
  if (record === undefined || record.revision !== known.revision) {
    throw changed_meanwhile(id);
  }
  const { metadata, messages } = record; // it may have been given another parent meanwhile
  const is_kept = policy === "keep" && messages.length > 0 && session_kind(metadata) !== "checkpoint";
  if (is_kept) {
    if (session.replaced === undefined || !is_same_version(session.replaced.messages, messages)) {
      session.replaced = { id: randomUUID(), messages };
    }
    await store_version(port, session.replaced.id, metadata, messages, "replaced");
  }
  const kept_as = is_kept ? session.replaced?.id : undefined;
  if (resolved === "damaged" || resolved === undefined) {
    await require_no_forks(port, id);
    return () => Promise.resolve();
  }
  const parent = parent_record(resolved);
  if (kept_as !== undefined && parent !== undefined) {
    await secure_fork(port, kept_as, parent, resolved.messages);
  }
  const history = resolved.messages;
  const stranded = await stranded_forks(port, id, history, common);
  if (kept_as !== undefined) {
    await move_forks(port, stranded, id, kept_as);
  } else {
    for (const fork of stranded) {
      await make_whole(port, fork.id, id);
    }
  }
  return () => keep_forks_of_cut(port, id, { history, common, kept_as });
}

function is_same_version(a: Messages, b: Messages): boolean {
  return a.length === b.length && begins_with(a, b);
}

/** @throws {SessionError} `corrupt` where there are forks: what they inherit cannot be read. */
async function require_no_forks(port: StorePort, id: string): Promise<void> {
  if ((await port.forks_of(id)).length > 0) {
    await port.resolve(id);
  }
}

/** Stores a version of a session under another id: the old parent, dates and messages. */
export async function store_version(
  port: StorePort,
  id: string,
  metadata: SessionMetadata,
  messages: Messages,
  suffix: string,
  changes: Metadata = {},
): Promise<void> {
  const { id: _id, message_count: _count, label_source: _source, label, ...kept } = metadata;
  const labelled = label === undefined ? {} : { label: `${label} (${suffix})`, label_source: "auto" as const };
  await port.create(id, messages, { ...kept, ...labelled, ...changes, kind: "fork" });
}
