import { ignore } from "../../errors.js";
import { plan_fork } from "../../fork-rules.js";
import type { ResolvedSession } from "../../lineage.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import { secure_fork } from "../fork-protection.js";
import type { Stored } from "../session-state.js";
import type { ForkOptions } from "../types.js";
import { report_missing } from "./load.js";

/** Stores a fork and makes the fork current. If that fails, tries to remove the fork. Returns the fork's id. */
export async function fork_session(
  parts: ManagerParts,
  parent_id: string,
  options: ForkOptions,
  epoch: Epoch,
): Promise<string> {
  const { store, queue, events, current, conversation } = parts;
  const attached = !options.detached;
  const require_unchanged = () =>
    attached ? conversation.require_no_turn_since(epoch) : conversation.require_no_start_since(epoch);
  require_unchanged();
  if (attached) {
    await current.store_turns();
  }
  const parent = await resolve_parent(parts, parent_id);
  const { inherited, metadata } = plan_fork(parent, options, parts.options.auto_slug);
  const fork = current.create(metadata, inherited);
  const messages = attached ? parent.messages.slice(0, inherited) : conversation.messages;
  if (!attached) {
    current.note_derived_metadata(fork, messages);
  }
  require_unchanged();
  try {
    const version = queue.capture(fork, messages);
    const emit_saved = await queue.save_version(fork, version);
    await (inherited > 0 && secure_fork(store, fork.id, parent.record, messages));
    require_unchanged();
    emit_saved();
    if (attached) {
      const from = { inherited: fork.history.inherited, ...(fork.stored as Stored) };
      current.load_into_conversation(fork, fork.metadata, parent.messages.slice(0, inherited), from);
      report_missing(events, parent, fork.id);
    } else {
      current.set_current(fork);
    }
  } catch (error) {
    queue.forget(fork);
    await store.delete(fork.id).catch(() => undefined); // the first error says more
    throw error;
  }
  if (!attached) {
    current.auto_save(); // a turn may have completed meanwhile
  }
  return fork.id;
}

/** Saves the parent, then reads it. A conflict of the parent is reported by the parent's own save. */
async function resolve_parent({ store, family }: ManagerParts, id: string): Promise<ResolvedSession> {
  for (const [queue, session] of family.dirty_sessions([id])) {
    await queue.save(session).catch(ignore("conflict"));
  }
  return store.require_resolved(id);
}
