import { ignore, invalid_state } from "../../errors.js";
import type { Messages } from "../../messages.js";
import type { StoredSession } from "../../types.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import { materialize_forks } from "../fork-protection.js";
import type { StoreAccess } from "../store-access.js";
import type { DeleteOptions } from "../types.js";

/**
 * Deletes a session and drops its pending saves. Returns true if the session existed. `was_current` is true for the ids
 * that the sessions of the conversation had at the call, or have got since by a conflict.
 */
export async function delete_session(
  parts: ManagerParts,
  {
    id,
    policy,
    epoch,
    was_current,
  }: { id: string; policy: DeleteOptions["forks"]; epoch: Epoch; was_current: (id: string) => boolean },
): Promise<boolean> {
  const { store, events, current, conversation } = parts;
  const doomed = policy === "cascade" ? await store.with_descendants([id]) : [id];
  const is_current = (one: string) => current.sessions.some((session) => session.id === one);
  const takes_current = doomed.some((one) => was_current(one) || is_current(one));
  const require_unchanged = () => {
    if (takes_current) {
      conversation.require_no_turn_since(epoch);
    }
  };
  require_unchanged();
  const forks = policy === "refuse" ? (await store.forks_of(id)).length : 0;
  if (forks > 0) {
    const message = `session ${id} has forks that inherit from it: ${forks}`;
    throw invalid_state(message, { session_id: id });
  }
  if (policy !== "cascade") {
    await materialize_forks(store, id);
  }
  let history: Messages = [];
  const existed = await with_deletion_lock(parts, doomed, async () => {
    history = (await store.resolve(id, { cut_cycles: true }).catch(ignore("corrupt")))?.messages ?? [];
    return delete_all(parts, doomed, require_unchanged);
  });
  try {
    if (existed && policy === "cascade") {
      const gone = new Set(doomed);
      const late = (await store.with_descendants(doomed)).filter((one) => !gone.has(one));
      await with_deletion_lock(parts, late, () => delete_each(store, late));
    } else if (existed) {
      await materialize_forks(store, id, history);
    } // otherwise new forks belong to a new session with this id
  } catch (error) {
    events.report_failure(error, "delete", { session_id: id }); // the session itself is deleted
  }
  return existed;
}

/**
 * Locks the sessions, marks them deleted while the task runs, and drops their pending saves if the task succeeds. Waits
 * for writes in flight, of children and of drafts, before the task.
 */
async function with_deletion_lock<T>(
  { family, queue, events }: ManagerParts,
  ids: readonly string[],
  task: () => Promise<T>,
): Promise<T> {
  const locked = ids.map((id) => family.shared_of(id));
  const unlock: (() => void)[] = [];
  try {
    for (const shared of locked) {
      unlock.push(await shared.lock());
      shared.deletion = "under way"; // no draft begins from here on
    }
    await Promise.all([...family.at_work].map((at_work) => at_work.drafts_settled()));
    const result = await task();
    locked.forEach((shared) => (shared.deletion = "done"));
    family.dirty_sessions(ids).forEach(([owner, session]) => owner.forget(session));
    for (const id of ids) {
      events.forget_failures(id);
      family.unflushed.delete(id);
    }
    return result;
  } catch (error) {
    locked.forEach((shared) => (shared.deletion = undefined));
    queue.dirty.forEach((session) => queue.save_in_background(session));
    throw error;
  } finally {
    unlock.forEach((release) => release());
  }
}

/** Deletes sessions. Returns true if the last one existed. */
async function delete_each(store: StoreAccess, ids: readonly string[]): Promise<boolean> {
  let existed = false;
  for (const id of ids) {
    existed = await store.delete(id);
  }
  return existed;
}

/**
 * Deletes sessions, and clears the conversation if the current session is among them. If a turn begins meanwhile, the
 * sessions are stored again. Returns true if the last session existed.
 */
async function delete_all(
  parts: ManagerParts,
  ids: readonly string[],
  require_unchanged: () => void,
): Promise<boolean> {
  const { store, queue, current, conversation } = parts;
  const { session } = current;
  if (!session || !ids.includes(session.id)) {
    require_unchanged();
    return delete_each(store, ids);
  }
  const records: (StoredSession | undefined)[] = [];
  for (const id of ids) {
    records.push(await store.load(id).catch(ignore("corrupt")));
  }
  const live = conversation.messages;
  require_unchanged();
  try {
    const existed = await delete_each(store, ids);
    require_unchanged();
    conversation.clear();
    current.set_current_with_checkpoint(undefined);
    return existed;
  } catch (error) {
    session.shared.may_be_gone = true;
    for (const record of records.reverse()) {
      await restore(store, record).catch(() => undefined); // the first error says more
    }
    queue.request_save_again(session, live); // stores the session if `restore` failed
    throw error;
  }
}

async function restore(store: StoreAccess, record: StoredSession | undefined): Promise<void> {
  if (!record) {
    return;
  }
  const { metadata, messages, draft } = record;
  await store.put(metadata.id, messages, metadata, null);
  await (draft && store.set_draft(metadata.id, draft));
}
