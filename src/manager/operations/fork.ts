import { has_code } from "../../errors.js";
import { plan_fork } from "../../fork-rules.js";
import type { ResolvedSession } from "../../lineage.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import { secure_fork } from "../fork-protection.js";
import type { ForkOptions } from "../types.js";
import { report_missing } from "./load.js";

/**
 * Stores a fork of a session and goes on in it, with the inherited messages in the conversation. A detached fork leaves
 * the conversation as it is. Where it throws, nothing is left of the fork. Returns the fork's id.
 */
export async function fork_session(
  parts: ManagerParts,
  parent_id: string,
  options: ForkOptions,
  epoch: Epoch,
): Promise<string> {
  const { store, queue, events, current, conversation } = parts;
  const attached = !options.detached;
  const require_unmoved = () =>
    attached ? conversation.require_unmoved(epoch) : conversation.require_same_session(epoch);
  require_unmoved();
  if (attached) {
    await current.store_turns();
  }
  const parent = await resolve_parent(parts, parent_id);
  const { inherited, metadata } = plan_fork(parent, options, parts.options.auto_slug);
  const fork = current.create(metadata, inherited);
  const messages = attached ? parent.messages.slice(0, inherited) : conversation.messages;
  if (!attached) {
    current.note(fork, messages);
  }
  require_unmoved();
  try {
    fork.want(messages, queue.left_out_of(fork));
    const tell = await queue.create(fork);
    const whole = inherited > 0 ? await secure_fork(store, fork.id, parent.record, messages) : undefined;
    if (whole !== undefined) {
      fork.make_self_contained(whole.revision);
    }
    require_unmoved();
    tell();
    if (attached) {
      const { revision, is_certain = false } = fork.stored ?? {};
      const from = { inherited: fork.history.inherited, revision, is_certain };
      current.show(fork, fork.metadata, parent.messages.slice(0, inherited), from);
      report_missing(events, parent, fork.id);
    } else {
      current.take_over(fork);
    }
  } catch (error) {
    queue.forget(fork);
    await store.store.delete(fork.id).catch(() => undefined); // the first error says more
    throw error;
  }
  return fork.id;
}

/** Reads the parent behind everything that is wanted of it. A conflict of its own is reported elsewhere. */
async function resolve_parent({ store, family }: ManagerParts, id: string): Promise<ResolvedSession> {
  for (const [queue, state] of family.dirty_states([id])) {
    await queue.save(state).catch((error: unknown) => {
      if (!has_code(error, "conflict")) {
        throw error;
      }
    });
  }
  return store.require_resolved(id);
}
