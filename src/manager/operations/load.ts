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

/** Puts a session into the conversation and makes the session current. Without an id: the newest, or a new one. */
export async function load_session(parts: ManagerParts, id: string | undefined, epoch: Epoch): Promise<void> {
  const { current, conversation, events, drafts, family, queue } = parts;
  conversation.require_no_turn_since(epoch);
  await current.store_turns();
  drafts.write_now();
  await queue.drafts_settled();
  const resolved = await (id === undefined ? newest_session(parts) : resolve_saved(parts, id));
  if (!resolved && id !== undefined) {
    throw session_not_found(id);
  }
  conversation.require_no_turn_since(epoch);
  if (!resolved) {
    current.begin();
    return;
  }
  const { record, messages, inherited } = resolved;
  const { metadata, draft } = record;
  const session =
    current.session?.id === metadata.id
      ? current.session
      : new SessionState(family.shared_of(metadata.id), new History(conversation));
  drafts.set_loaded(session, messages.length, draft);
  current.load_into_conversation(session, metadata, messages, { inherited, ...stored_at(record) });
  report_missing(events, resolved, session.id);
}

/**
 * Saves a session, then reads it. If another writer's history conflicts with ours, our history is stored as a fork,
 * even with `on_conflict: "error"`, because the conversation is about to be replaced.
 */
async function resolve_saved(parts: ManagerParts, id: string): Promise<ResolvedSession | undefined> {
  const { store, family } = parts;
  for (;;) {
    for (const [queue, session] of family.dirty_sessions([id])) {
      await queue.save(session, "fork");
    }
    const resolved = await store.resolve(id);
    if (family.dirty_sessions([id]).length === 0) {
      return resolved;
    } // otherwise save() was called meanwhile
  }
}

/**
 * Returns the newest readable session, roots and forks before all others. Reports damaged sessions and skips them.
 * Returns `undefined` if there is no session.
 * @throws {SessionError} `corrupt` if every session is damaged, as with a wrong encryption key.
 */
async function newest_session(parts: ManagerParts): Promise<ResolvedSession | undefined> {
  const { store, events } = parts;
  const rank = (entry: SessionMetadata) => (["root", "fork"].includes(session_kind(entry)) ? 0 : 1);
  const candidates = (await store.list()).sort((a, b) => rank(a) - rank(b) || compare_sessions(a, b));
  const passed_over: { id: string; error: unknown }[] = [];
  let found: ResolvedSession | undefined;
  for (const { id, damaged } of candidates) {
    try {
      if (damaged !== undefined) {
        throw new SessionError("corrupt", `session ${id}: ${damaged}`, { session_id: id });
      }
      found = await resolve_saved(parts, id);
    } catch (error) {
      if (!has_code(error, "corrupt", "lineage")) {
        throw error;
      }
      passed_over.push({ id, error });
    }
    if (found) {
      break;
    }
  }
  const corrupt = passed_over.find(({ error }) => has_code(error, "corrupt"));
  if (!found && corrupt) {
    const message = `none of ${passed_over.length} sessions can be read; the newest: ${reason_of(corrupt.error)}`;
    throw new SessionError("corrupt", message, { cause: corrupt.error, session_id: corrupt.id });
  }
  passed_over.forEach(({ id, error }) => events.report_failure(error, "load", { session_id: id }));
  return found;
}

/** Reports the inherited messages that a session's parents no longer hold. */
export function report_missing(events: ManagerEvents, { missing }: ResolvedSession, session_id: string): void {
  for (const what of missing) {
    events.report_failure(new SessionError("lineage", what, { session_id }), "load", { session_id });
  }
}
