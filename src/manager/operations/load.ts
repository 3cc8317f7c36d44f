import { has_code, reason_of, SessionError, session_not_found } from "../../errors.js";
import type { ResolvedSession } from "../../lineage.js";
import { compare_sessions, session_kind } from "../../metadata.js";
import type { SessionMetadata } from "../../types.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import type { ManagerEvents } from "../events.js";
import { History } from "../history.js";
import { SessionState } from "../session-state.js";
import { stored_at } from "../store-access.js";

/**
 * Puts a stored session into the conversation and goes on in it. Without an id: the newest session, or a new one. Where
 * it throws, nothing has changed.
 */
export async function load_session(parts: ManagerParts, id: string | undefined, epoch: Epoch): Promise<void> {
  const { current, conversation, events, drafts } = parts;
  conversation.require_unmoved(epoch);
  await current.store_turns();
  await drafts.settled();
  const resolved = await (id === undefined ? newest_session(parts) : resolve_at_rest(parts, id));
  if (resolved === undefined && id !== undefined) {
    throw session_not_found(id);
  }
  conversation.require_unmoved(epoch);
  if (resolved === undefined) {
    current.begin();
    return;
  }
  const { record, messages, inherited } = resolved;
  const { metadata, draft } = record;
  const is_current = current.session?.id === metadata.id;
  const session = is_current && current.session ? current.session : empty_state(parts, metadata.id);
  current.show(session, metadata, messages, { inherited, ...stored_at(record), draft });
  report_missing(events, resolved, session.id);
}

function empty_state({ family, conversation }: ManagerParts, id: string): SessionState {
  return new SessionState(family.state_of(id), new History(conversation), {});
}

/**
 * Reads a session behind everything that is wanted of it. Where another writer's history stands in the way of ours, ours
 * is stored beside it, whatever `on_conflict` says, since the conversation is about to be replaced.
 */
export async function resolve_at_rest(parts: ManagerParts, id: string): Promise<ResolvedSession | undefined> {
  const { store, family, options } = parts;
  const policies = { ...options, on_conflict: "fork" as const };
  for (;;) {
    for (const [queue, state] of family.dirty_states([id])) {
      await queue.save(state, policies);
    }
    const resolved = await store.resolve(id);
    if (family.dirty_states([id]).length === 0) {
      return resolved;
    } // otherwise save() was called meanwhile
  }
}

/**
 * Returns the newest session that can be read: roots and forks before all others. Damaged ones are reported and passed
 * over. Returns `undefined` where there is no session.
 * @throws {SessionError} `corrupt` where every session is damaged: a wrong encryption key looks like that.
 */
async function newest_session(parts: ManagerParts): Promise<ResolvedSession | undefined> {
  const { store, events } = parts;
  const entries = (await store.list()).sort(compare_sessions);
  const is_of_user = (entry: SessionMetadata) => ["root", "fork"].includes(session_kind(entry));
  const candidates = [...entries.filter(is_of_user), ...entries.filter((entry) => !is_of_user(entry))];
  const passed_over: { id: string; error: unknown }[] = [];
  let found: ResolvedSession | undefined;
  for (const { id, damaged } of candidates) {
    try {
      if (damaged !== undefined) {
        throw new SessionError("corrupt", `session ${id}: ${damaged}`, { session_id: id });
      }
      found = await resolve_at_rest(parts, id);
    } catch (error) {
      if (!has_code(error, "corrupt") && !has_code(error, "lineage")) {
        throw error;
      }
      passed_over.push({ id, error });
    }
    if (found !== undefined) {
      break;
    }
  }
  const corrupt = passed_over.find(({ error }) => has_code(error, "corrupt"));
  if (found === undefined && corrupt !== undefined) {
    const message = `none of ${passed_over.length} sessions can be read; the newest: ${reason_of(corrupt.error)}`;
    throw new SessionError("corrupt", message, { cause: corrupt.error, session_id: corrupt.id });
  }
  passed_over.forEach(({ id, error }) => events.report(error, "load", { session_id: id }));
  return found;
}

/** Reports the inherited messages that a session's parents no longer hold. */
export function report_missing(events: ManagerEvents, { missing }: ResolvedSession, session_id: string): void {
  for (const what of missing) {
    events.report(new SessionError("lineage", what, { session_id }), "load", { session_id });
  }
}
