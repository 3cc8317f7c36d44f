import { has_code, SessionError } from "../errors.js";
import { fork_point_of } from "../fork-rules.js";
import { fork_point, inherits } from "../lineage.js";
import type { MetadataPatch } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import type { Metadata, StoreAccess } from "./store-access.js";
import { begins_with, type Messages } from "../messages.js";

/** The place of a session below a parent. */
export interface LineagePlan {
  /** The number of its messages that the parent holds. */
  inherited: number;
  metadata: Metadata;
  /** The parent as it was read for this plan. */
  parent?: StoredSession;
}

/**
 * Plans how a session is stored with the lineage that the application gives it. The session inherits where the parent's
 * history, up to the fork point, is the beginning of its own. Otherwise it holds everything itself, and the parent is
 * named for provenance. A parent that does not exist is named as given.
 * @throws {SessionError} `lineage` where the session would descend from itself; and everything that loading the parent throws.
 */
export async function plan_lineage(
  store: StoreAccess,
  { id, messages, stored = {} }: { id: string; messages: Messages; stored: MetadataPatch | undefined },
  given: MetadataPatch,
): Promise<LineagePlan> {
  const point = fork_point_of(given, stored);
  const target = without_nulls({ ...stored, ...given, ...point, id });
  const metadata = { ...given, ...point } as Metadata;
  if (target.parent_id === id) {
    throw descends_from_itself(id);
  }
  if (!inherits(target)) {
    return { inherited: 0, metadata };
  }
  const parent = await store.resolve(target.parent_id).catch((error: unknown) => {
    if (given.parent_id === undefined && has_code(error, "invalid_id")) {
      return undefined; // a foreign record named what can be no parent
    }
    throw error;
  });
  if (parent === undefined) {
    return { inherited: 0, metadata: { ...metadata, fork_message_count: 0 } }; // nothing leaks in from a parent that is created later
  }
  if (parent.chain.some((record) => record.metadata.id === id)) {
    throw descends_from_itself(id);
  }
  const { count, missing } = fork_point(target, parent.messages);
  const ours = store.as_stored(messages);
  if (count === 0 || missing !== undefined || !begins_with(ours, parent.messages.slice(0, count))) {
    return { inherited: 0, metadata: { ...metadata, detached: true } };
  }
  const last_id = parent.messages[count - 1]?.id;
  return {
    inherited: count,
    metadata: { ...metadata, fork_message_count: count, ...(last_id !== undefined && { fork_message_id: last_id }) },
    parent: parent.record,
  };
}

function without_nulls(metadata: MetadataPatch): SessionMetadata {
  return Object.fromEntries(
    Object.entries(metadata).filter(([, value]) => value !== null),
  ) as unknown as SessionMetadata;
}

function descends_from_itself(id: string): SessionError {
  return new SessionError("lineage", `session ${id} cannot descend from itself`, { session_id: id });
}
