import { derived_label } from "./label.js";
import { count_through, is_lineage, type ResolvedSession } from "./lineage.js";
import { has_message, type Messages } from "./messages.js";
import { session_kind, type MetadataPatch } from "./metadata.js";
import type { SessionMetadata } from "./types.js";

/**
 * Plans what a fork of a session inherits, and its metadata.
 * @throws {SessionError} `invalid_input` where the parent has no such message.
 */
export function plan_fork(
  parent: ResolvedSession,
  { detached = false, message_id }: { detached?: boolean; message_id?: string },
  takes_label: boolean,
): { inherited: number; metadata: MetadataPatch } {
  const { id, label, checkpoint_state } = parent.record.metadata;
  const through = message_id === undefined ? parent.messages.length : count_through(parent.messages, message_id, id);
  const inherited = detached ? 0 : through;
  const messages = parent.messages.slice(0, inherited);
  const last_id = message_id ?? messages.at(-1)?.id;
  return {
    inherited,
    metadata: {
      kind: "fork",
      parent_id: id,
      ...(last_id !== undefined && { fork_message_id: last_id }),
      ...(inherited > 0 ? { fork_message_count: inherited } : { detached: true }),
      ...(takes_label && !detached && derived_label(label, "fork")),
      ...(checkpoint_state && has_message(messages, checkpoint_state.message_id) && { checkpoint_state }),
    },
  };
}

const NOT_OF_THE_FORK = ["id", "message_count", "created_at", "updated_at"];

/**
 * Returns the metadata of a session that goes on beside another writer's history. `common` is the number of messages that
 * both have in common, `undefined` where the other writer deleted the session.
 */
export function metadata_beside(
  known: MetadataPatch,
  { id, messages, common }: { id: string; messages: Messages; common: number | undefined },
): MetadataPatch {
  const own = Object.entries(known).filter(
    ([key, value]) =>
      (value ?? undefined) !== undefined &&
      (key === "parent_id" || !(is_lineage(key) || NOT_OF_THE_FORK.includes(key))),
  );
  const kind = session_kind(known as Partial<SessionMetadata>);
  const fork: MetadataPatch = { ...Object.fromEntries(own), kind: kind === "root" ? "fork" : kind }; // a child stays a child
  if (common === undefined) {
    return { ...fork, ...(known.parent_id && { detached: true }) };
  }
  const last_id = messages[common - 1]?.id;
  return {
    ...fork,
    parent_id: id,
    ...(last_id !== undefined && { fork_message_id: last_id }),
    ...(common > 0 ? { fork_message_count: common } : { detached: true }),
    ...derived_label(known.label, "fork"),
  };
}

/** Returns the lineage in the metadata of an application, or `undefined` where it has none. */
export function lineage_of(metadata: MetadataPatch): MetadataPatch | undefined {
  const given = Object.entries(metadata).filter(([key, value]) => value !== undefined && is_lineage(key));
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

/** Returns the rest of a fork point that an application gives: as before with the same parent, none with another one. */
export function fork_point_of(given: MetadataPatch, stored: MetadataPatch): MetadataPatch {
  const is_other_parent = given.parent_id !== undefined && given.parent_id !== stored.parent_id;
  const is_other_point = given.fork_message_id !== undefined && given.fork_message_id !== stored.fork_message_id;
  return {
    ...(is_other_parent && given.fork_message_id === undefined && stored.fork_message_id && { fork_message_id: null }),
    ...((is_other_parent || is_other_point) && stored.fork_message_count && { fork_message_count: null }),
  };
}
