import { randomUUID } from "node:crypto";
import { fork_point } from "../lineage.js";
import { session_kind } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import type { Metadata, StorePort } from "./store-port.js";
import type { Messages } from "./timeline.js";

/**
 * Before the stored history of a session is replaced by one that has only the first `common` messages in common with
 * it: the old version is stored as a session of its own, and forks whose fork point is gone inherit from that. With
 * `"overwrite"` no copy is kept, and those forks take what they inherit into themselves.
 */
export async function keep_replaced_history(
  port: StorePort,
  session: ActiveSession,
  { record, common }: { record: StoredSession; common: number },
  policy: "keep" | "overwrite",
): Promise<void> {
  const { metadata, messages } = record;
  const stranded = await stranded_forks(port, session.id, common);
  const is_kept = policy === "keep" && messages.length > 0 && session_kind(metadata) !== "checkpoint";
  if (!is_kept) {
    for (const fork of stranded) {
      await port.make_self_contained(fork.id);
    }
    return;
  }
  if (session.replaced_id === undefined) {
    const id = randomUUID();
    await store_version(port, id, metadata, messages, "replaced");
    session.replaced_id = id;
  }
  await move_forks(port, stranded, session.replaced_id);
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
  await port.put(id, messages, { ...kept, ...labelled, ...changes, kind: "fork" }, null);
}

/** The forks of a session that inherit more than its first `common` messages. */
export async function stranded_forks(port: StorePort, id: string, common: number): Promise<SessionMetadata[]> {
  const forks = await port.forks_of(id);
  if (forks.length === 0) {
    return forks;
  }
  const history = (await port.resolve(id))?.messages ?? [];
  return forks.filter((fork) => fork_point(fork, history).count > common);
}

export async function move_forks(port: StorePort, forks: SessionMetadata[], parent_id: string): Promise<void> {
  for (const { id, updated_at } of forks) {
    await port.update(id, { parent_id, updated_at });
  }
}
