import { count_through, type ResolvedSession } from "../lineage.js";
import type { MetadataPatch } from "../metadata.js";
import type { ForkOptions } from "./types.js";

/**
 * What a fork of a session inherits, and its metadata.
 * @throws {SessionError} `invalid_input` where the parent has no such message.
 */
export function plan_fork(
  parent: ResolvedSession,
  { detached = false, message_id }: ForkOptions,
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
      ...(takes_label && !detached && label !== undefined && { label: `${label} (fork)`, label_source: "auto" }),
      ...(checkpoint_state &&
        messages.some((message) => message.id === checkpoint_state.message_id) && { checkpoint_state }),
    },
  };
}
