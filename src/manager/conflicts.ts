import { randomUUID } from "node:crypto";
import { derived_label } from "../label.js";
import { session_kind, type MetadataPatch } from "../metadata.js";
import type { StoredSession } from "../types.js";
import type { Family } from "./family.js";
import { secure_fork } from "./fork-protection.js";
import type { History, Messages } from "./history.js";
import type { SessionState } from "./session-state.js";
import type { Metadata, StoreAccess, Written } from "./store-access.js";

/** Another writer's history where it differs from ours. */
export interface Divergence {
  /** The number of messages that both have in common. `undefined`: the session is gone. */
  common: number | undefined;
  record?: StoredSession;
}

/**
 * Stores our history beside another writer's: as a fork from the last common message, whole where there is none, or
 * under a new id where the session is gone. The session goes on there.
 */
export async function store_as_fork(
  store: StoreAccess,
  family: Family,
  { state, history, messages }: { state: SessionState; history: History; messages: Messages },
  pending: Metadata,
  { common, record }: Divergence,
): Promise<Written> {
  const tried = state.beside_id !== undefined;
  state.beside_id ??= randomUUID();
  const metadata = {
    ...own_metadata(state, pending),
    ...(common === undefined ? orphan_lineage(state) : fork_lineage(state, messages, common)),
  };
  const inherited = common ?? 0;
  const created = await store.create(state.beside_id, messages.slice(inherited), metadata as Metadata, tried);
  state.beside_id = created.id;
  const whole = inherited > 0 && record ? await secure_fork(store, created.id, record, messages) : undefined;
  state.move_to(family.state_of(created.id), metadata);
  history.inherited = whole ? 0 : inherited;
  return whole ?? created;
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

/** Returns the metadata that the application and the turns gave the session. */
function own_metadata(state: SessionState, pending: Metadata): MetadataPatch {
  const known = Object.entries({ ...state.metadata, ...pending });
  return Object.fromEntries(
    known.filter(([key, value]) => value !== null && value !== undefined && !NOT_OF_THE_FORK.has(key)),
  );
}

function fork_lineage(state: SessionState, messages: Messages, common: number): MetadataPatch {
  const last_id = messages[common - 1]?.id;
  return {
    kind: kind_of_fork(state),
    parent_id: state.id,
    ...(last_id !== undefined && { fork_message_id: last_id }),
    ...(common > 0 ? { fork_message_count: common } : { detached: true }),
    ...derived_label(state.metadata.label, "fork"),
  };
}

function orphan_lineage(state: SessionState): MetadataPatch {
  const { parent_id } = state.metadata;
  return { kind: kind_of_fork(state), ...(parent_id && { detached: true }) };
}

/** A child's history stays a child's, so that `load()` does not take it for the user's conversation. */
function kind_of_fork(state: SessionState): MetadataPatch["kind"] {
  const kind = session_kind(state.metadata as Metadata);
  return kind === "root" ? "fork" : kind;
}
