import { randomUUID } from "node:crypto";
import type { MetadataPatch } from "../metadata.js";
import { session_kind } from "../metadata.js";
import type { StoredSession } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import { secure_fork } from "./inheritance.js";
import type { Capture } from "./session-writer.js";
import type { Metadata, StorePort } from "./store-port.js";
import type { Messages } from "./timeline.js";

/** Another writer's history, where it is not ours. */
export interface Divergence {
  /** How many messages both have in common; `undefined`: the session is gone. */
  common: number | undefined;
  record?: StoredSession;
}

/**
 * Stores our history beside another writer's: as a fork from the last common message, whole where there is none, or
 * under a new id where the session is gone. The session goes on there. Returns the revision, if the store has such.
 */
export async function store_as_fork(
  port: StorePort,
  { session, timeline, messages }: Capture,
  pending: Metadata,
  { common, record }: Divergence,
): Promise<string | undefined> {
  const id = (session.beside_id ??= randomUUID());
  const metadata = {
    ...own_metadata(session, pending),
    ...(common === undefined ? orphan_lineage(session) : fork_lineage(session, messages, common)),
  };
  const inherited = common ?? 0;
  const revision = await port.create(id, messages.slice(inherited), metadata as Metadata);
  const whole = inherited > 0 && record ? await secure_fork(port, id, record, messages) : undefined;
  session.move_to(id, metadata);
  timeline.inherited = whole ? 0 : inherited;
  return whole ? whole.revision : revision;
}

const NOT_OF_THE_FORK = new Set([
  "id",
  "message_count",
  "created_at",
  "updated_at",
  "detached",
  "fork_message_id",
  "fork_message_count",
]);

/** What the application and the turns said of the session. */
function own_metadata(session: ActiveSession, pending: Metadata): MetadataPatch {
  const known = Object.entries({ ...session.metadata, ...pending });
  return Object.fromEntries(
    known.filter(([key, value]) => value !== null && value !== undefined && !NOT_OF_THE_FORK.has(key)),
  );
}

function fork_lineage(session: ActiveSession, messages: Messages, common: number): MetadataPatch {
  const { label } = session.metadata;
  const last_id = messages[common - 1]?.id;
  return {
    kind: kind_of_fork(session),
    parent_id: session.id,
    ...(last_id !== undefined && { fork_message_id: last_id }),
    ...(common > 0 ? { fork_message_count: common } : { detached: true }),
    ...(label && { label: `${label} (fork)`, label_source: "auto" }),
  };
}

function orphan_lineage(session: ActiveSession): MetadataPatch {
  const { parent_id } = session.metadata;
  return { kind: kind_of_fork(session), ...(parent_id && { detached: true }) };
}

/** A child's history stays a child's: `load()` is not to take it for the user's conversation. */
function kind_of_fork(session: ActiveSession): MetadataPatch["kind"] {
  const kind = session_kind(session.metadata as Metadata);
  return kind === "root" ? "fork" : kind;
}
